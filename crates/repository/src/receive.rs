//! Taking in what is offered: objects into quarantine, proved complete, nothing visible yet.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use hakata_git::Spent;
use hakata_git::objects::{Objects, ReadError};
use hakata_git::quarantine::{
    ConnectivityError, Fsck, IndexPackError, IndexedPack, LargeObject, PackLimits, Quarantine, SizeError, Why,
};
use hakata_git::write::WriteError;
use hakata_names::{Oid, RefName, RefUpdate, RepositoryId, TreePath};
use hakata_runtime::blocking::BlockingError;
use hakata_runtime::fault;
use hakata_runtime::limit::{Limited, Permit};
use hakata_store::RepositoryState;
use tokio::io::AsyncRead;

use crate::cache::{CacheError, CacheHandle};
use crate::engine::Engine;
use crate::outcome::RefRefusal;
use crate::prepared::{Intent, Prepared, refuse};
use crate::refresh::State;
use crate::repository::Repository;
use crate::stage::StagedPack;

/// Objects over the limit that are told one by one.
const MAX_LARGE: usize = 10;

/// What is offered beside the pack.
#[derive(Clone, Debug, Default)]
pub struct Push {
    /// The wished moves, each ref once.
    pub updates: Vec<RefUpdate>,
    /// The boundary of a shallow client.
    pub shallow: Vec<Oid>,
}

/// How much may be offered.
#[derive(Clone, Debug)]
pub struct ReceiveLimits {
    /// The longest pack as sent, in bytes; `None` for no limit.
    pub max_pack_bytes: Option<u64>,
    /// The longest object, in bytes; longer ones are listed in [`Received::large`], for policy to judge.
    pub max_object_bytes: Option<u64>,
    /// How objects are looked at.
    pub fsck: Fsck,
    /// Where the processor time that git takes to index the pack is added up.
    pub spent: Spent,
}

impl Default for ReceiveLimits {
    fn default() -> Self {
        Self {
            max_pack_bytes: Some(2 << 30),
            max_object_bytes: Some(100 << 20),
            fsck: Fsck::Strict,
            spent: Spent::default(),
        }
    }
}

/// Why an offer could not be taken in at all. Nothing is kept.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Too many offers at one time.
    #[error("receiving")]
    Limited(#[source] Limited),
    /// The repository cannot be brought to this node.
    #[error("preparing the repository")]
    Cache(#[source] CacheError),
    /// The quarantine cannot be made.
    #[error("making a quarantine")]
    Quarantine(#[source] io::Error),
    /// It cannot be made.
    #[error("making what is offered")]
    Make(#[source] WriteError),
    /// What was made cannot be packed.
    #[error("packing what was made")]
    Pack(#[source] io::Error),
    /// The pack was refused; [`IndexPackError::unpack_line`] says it in git's words.
    #[error("indexing the pack")]
    Index(#[source] IndexPackError),
    /// Sizes of objects could not be read.
    #[error("measuring objects")]
    Size(#[source] SizeError),
    /// Connectivity could not be proved or disproved.
    #[error("checking connectivity")]
    Connect(#[source] ConnectError),
    /// A tip could not be read.
    #[error("reading the new tips")]
    Read(#[source] ReadError),
    /// The process is stopping, or its pool of blocking work is full.
    #[error("receiving")]
    Busy(#[source] BlockingError),
}

/// Why connectivity could not be proved or disproved.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The repository cannot be brought to this node.
    #[error("preparing the repository")]
    Cache(#[source] CacheError),
    /// git could not tell.
    #[error("walking from the new tips")]
    Walk(#[source] ConnectivityError),
}

/// An object over the limit, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// The object and its size.
    pub object: LargeObject,
    /// A path at which it was found.
    pub path: Option<TreePath>,
}

/// What was offered, in quarantine: readable, complete, and gone when dropped.
#[derive(Debug)]
pub struct Received {
    updates: Vec<RefUpdate>,
    refusals: Vec<(RefName, RefRefusal)>,
    offered: Option<Arc<Offered>>,
    objects: Option<Objects>,
    large: Vec<TooLarge>,
    peeled: HashMap<Oid, Oid>,
    prune_epoch: i64,
    /// The pack, if it was kept before.
    staged: Option<StagedPack>,
}

/// The quarantine of one change, with what it stands on. Shared with the cache directory that takes its pack over.
#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) quarantine: Quarantine,
    pub(crate) pack: Option<IndexedPack>,
    shallow: Vec<Oid>,
    _permit: Permit,
    /// Last, as fields are dropped in order: the directory behind the quarantine stays as long as it does.
    _base: CacheHandle,
}

impl Repository {
    /// Takes in an offer: indexes the pack in a quarantine, proves that everything behind the new tips is there, and
    /// reads what policy will ask for. Updates whose objects are missing are refused one by one.
    ///
    /// A push that only deletes sends no pack and touches no directory. `pack` is read no further than its end.
    ///
    /// # Errors
    /// [`ReceiveError`], if the offer as a whole is no good.
    pub async fn receive<R: AsyncRead + Unpin>(
        &self,
        push: Push,
        pack: Option<&mut R>,
        limits: &ReceiveLimits,
    ) -> Result<Received, ReceiveError> {
        let Push { updates, shallow } = push;
        let received = Received::new(updates, self.state.prune_epoch);
        if received.updates.iter().all(|update| update.new.is_none()) {
            return Ok(received);
        }
        let (permit, base) = self.admitted().await?;
        let quarantine = self.quarantine(Some(&base)).await?;
        fault::point("receive.quarantine");
        let pack = match pack {
            Some(input) => Some(self.index(&quarantine, input, &shallow, limits).await?),
            None => None,
        };
        fault::point("receive.indexed");
        let offered = Arc::new(Offered::new(quarantine, pack, shallow, permit, base));
        Received::measure(&self.engine, received.updates, offered, &self.state, limits).await
    }

    /// Waits for a place in quarantine, and for the directory that stands behind it.
    pub(crate) async fn admitted(&self) -> Result<(Permit, CacheHandle), ReceiveError> {
        let permit = self.engine.quarantines.acquire().await.map_err(ReceiveError::Limited)?;
        Ok((permit, self.cache().await.map_err(ReceiveError::Cache)?))
    }

    /// Makes a quarantine that sees what is behind it, or one that sees only what comes in.
    pub(crate) async fn quarantine(&self, base: Option<&CacheHandle>) -> Result<Quarantine, ReceiveError> {
        let parent = self.engine.settings.data.join("quarantine");
        let (base, format) = (base.map(|base| base.dir().clone()), self.format());
        let create = move || Quarantine::create(&parent, base.as_ref(), format);
        let created = self.engine.blocking.run(create).await.map_err(ReceiveError::Busy)?;
        created.map_err(ReceiveError::Quarantine)
    }

    async fn index<R: AsyncRead + Unpin>(
        &self,
        quarantine: &Quarantine,
        input: &mut R,
        shallow: &[Oid],
        limits: &ReceiveLimits,
    ) -> Result<IndexedPack, ReceiveError> {
        let limits = PackLimits {
            max_bytes: limits.max_pack_bytes,
            fsck: limits.fsck,
            shallow: shallow.to_vec(),
            spent: limits.spent.clone(),
        };
        quarantine.index_pack(&self.engine.git, input, &limits).await.map_err(ReceiveError::Index)
    }
}

impl Received {
    /// Wishes moves that bring no objects.
    pub(crate) fn new(updates: Vec<RefUpdate>, prune_epoch: i64) -> Self {
        Self {
            updates,
            refusals: Vec::new(),
            offered: None,
            objects: None,
            large: Vec::new(),
            peeled: HashMap::new(),
            prune_epoch,
            staged: None,
        }
    }

    /// Takes over a pack that is kept already, and is the one in the quarantine.
    pub(crate) fn set_staged(&mut self, staged: StagedPack) {
        self.staged = Some(staged);
    }

    /// Looks for large objects in a quarantine, and examines it.
    pub(crate) async fn measure(
        engine: &Engine,
        updates: Vec<RefUpdate>,
        offered: Arc<Offered>,
        state: &State,
        limits: &ReceiveLimits,
    ) -> Result<Self, ReceiveError> {
        let large = offered.large(engine, limits, &tips(&updates)).await.map_err(ReceiveError::Size)?;
        let examined = Self::examine(engine, updates, offered, state).await?;
        Ok(Self { large, ..examined })
    }

    /// Proves what is in a quarantine complete, and looks behind its tags.
    pub(crate) async fn examine(
        engine: &Engine,
        updates: Vec<RefUpdate>,
        offered: Arc<Offered>,
        state: &State,
    ) -> Result<Self, ReceiveError> {
        let mut received = Self { offered: Some(offered), ..Self::new(updates, state.prune_epoch) };
        received.connect(engine, state).await.map_err(ReceiveError::Connect)?;
        fault::point("receive.connected");
        received.open(engine).await.map_err(ReceiveError::Read)?;
        Ok(received)
    }

    /// Lists the updates that nobody has refused yet; everything that they need is there.
    pub fn updates(&self) -> &[RefUpdate] {
        &self.updates
    }

    /// Lists the updates that were refused, and why.
    pub fn refusals(&self) -> &[(RefName, RefRefusal)] {
        &self.refusals
    }

    /// Refuses one update.
    pub fn refuse(&mut self, name: &RefName, refusal: RefRefusal) {
        refuse(&mut self.updates, &mut self.refusals, name, refusal);
    }

    /// Returns the objects of the repository and of the quarantine; `None` for a push that only deletes.
    pub fn objects(&self) -> Option<&Objects> {
        self.objects.as_ref()
    }

    /// Finds the object behind a new tip that is an annotated tag.
    pub fn peeled(&self, tip: &Oid) -> Option<Oid> {
        self.peeled.get(tip).copied()
    }

    /// Lists objects over the limit, the largest first, some of them with a path.
    pub fn large(&self) -> &[TooLarge] {
        &self.large
    }

    /// Returns the length of the pack as it will be kept, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.pack().map_or(0, |pack| pack.size_bytes)
    }

    /// Counts the objects of the pack.
    pub fn n_objects(&self) -> u32 {
        self.pack().map_or(0, |pack| pack.n_objects)
    }

    /// Makes the change ready for its commit.
    pub fn prepare(self, intent: Intent) -> Prepared {
        Prepared {
            updates: self.updates,
            refusals: self.refusals,
            peeled: self.peeled,
            intent,
            offered: self.offered,
            prune_epoch: self.prune_epoch,
            staged: self.staged,
            default_quota: None,
            birth: None,
            state: RepositoryState::Active,
            unmoved: None,
            n_attempts: 0,
        }
    }

    fn pack(&self) -> Option<&IndexedPack> {
        self.offered.as_ref()?.pack.as_ref()
    }

    fn tips(&self) -> Vec<Oid> {
        tips(&self.updates)
    }

    async fn connect(&mut self, engine: &Engine, state: &State) -> Result<(), ConnectError> {
        let Some(offered) = &self.offered else { return Ok(()) };
        let cut = offered.disconnected(engine, state, &self.tips()).await?;
        refuse_tips(&mut self.updates, &mut self.refusals, &cut);
        Ok(())
    }

    /// Opens the objects and looks behind tags.
    async fn open(&mut self, engine: &Engine) -> Result<(), ReadError> {
        let Some(offered) = &self.offered else { return Ok(()) };
        let objects = offered.quarantine.objects(&engine.git).await?;
        let tips = self.tips();
        let peel = move |view: &hakata_git::objects::View| {
            let peeled = tips.into_iter().map(|tip| Ok(view.peel(&tip)?.map(|peeled| (tip, peeled))));
            peeled.filter_map(Result::transpose).collect()
        };
        self.peeled = objects.read(peel).await?;
        self.objects = Some(objects);
        Ok(())
    }
}

impl Offered {
    pub(crate) fn new(
        quarantine: Quarantine,
        pack: Option<IndexedPack>,
        shallow: Vec<Oid>,
        permit: Permit,
        base: CacheHandle,
    ) -> Self {
        Self { quarantine, pack, shallow, _permit: permit, _base: base }
    }

    /// Finds the tips that something is missing behind, or that only a shallow repository could have. What the refs of
    /// `state` lead to is whole: the directory behind the quarantine has it, and a commit under another prune epoch
    /// asks again.
    async fn disconnected(
        &self,
        engine: &Engine,
        state: &State,
        tips: &[Oid],
    ) -> Result<HashMap<Oid, RefRefusal>, ConnectError> {
        let (snapshot, pack) = (&state.snapshot, self.pack.as_ref());
        let found = self.quarantine.check_push(&engine.git, snapshot, pack, tips, &self.shallow).await;
        let found = found.map_err(ConnectError::Walk)?;
        Ok(found.into_iter().map(|at| (at.tip, refusal(at.why))).collect())
    }

    async fn large(
        &self,
        engine: &Engine,
        limits: &ReceiveLimits,
        tips: &[Oid],
    ) -> Result<Vec<TooLarge>, SizeError> {
        let (Some(limit), Some(pack)) = (limits.max_object_bytes, &self.pack) else { return Ok(Vec::new()) };
        if pack.n_objects == 0 {
            return Ok(Vec::new());
        }
        let objects = self.quarantine.objects_over(&engine.git, pack, limit, MAX_LARGE).await?;
        let mut large: Vec<TooLarge> =
            objects.into_iter().map(|object| TooLarge { object, path: None }).collect();
        // One walk is enough to help; the largest is what people look for.
        if let Some(first) = large.first_mut() {
            first.path = self.quarantine.path_of(&engine.git, &first.object.oid, tips).await?;
        }
        Ok(large)
    }
}

impl Prepared {
    /// Proves connectivity again after objects were dropped from the repository.
    pub(crate) async fn connect_again(
        &mut self,
        engine: &Arc<Engine>,
        id: RepositoryId,
        state: &State,
    ) -> Result<(), ConnectError> {
        if let Some(offered) = &self.offered {
            let _base = Engine::cache(engine, id, state.needed()).await.map_err(ConnectError::Cache)?;
            let cut = offered.disconnected(engine, state, &tips(&self.updates)).await?;
            refuse_tips(&mut self.updates, &mut self.refusals, &cut);
        }
        self.prune_epoch = state.prune_epoch;
        Ok(())
    }
}

/// Lists the new targets, each once.
fn tips(updates: &[RefUpdate]) -> Vec<Oid> {
    let tips: BTreeSet<Oid> = updates.iter().filter_map(|update| update.new).collect();
    tips.into_iter().collect()
}

/// Refuses the updates to tips that are not complete.
fn refuse_tips(
    updates: &mut Vec<RefUpdate>,
    refusals: &mut Vec<(RefName, RefRefusal)>,
    cut: &HashMap<Oid, RefRefusal>,
) {
    let why = |update: &RefUpdate| update.new.and_then(|new| cut.get(&new)).cloned();
    for update in std::mem::take(updates) {
        match why(&update) {
            Some(refusal) => refusals.push((update.name, refusal)),
            None => updates.push(update),
        }
    }
}

fn refusal(why: Why) -> RefRefusal {
    match why {
        Why::Missing => RefRefusal::Incomplete,
        Why::Shallow => RefRefusal::Shallow,
    }
}

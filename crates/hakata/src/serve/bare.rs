//! `hakata bare`: a folder of ordinary bare repositories over HTTP; it needs git and no database.

mod scratch;

use crate::cli::{BareArgs, ListenOn, Place, Switch};
use crate::compose;
use crate::config::{Layers, Setting, Settings, environment};
use crate::data_dir::{Addresses, ReadyFile};
use crate::output::{self, Answer, Failure, Format, note};
use crate::serve::{AFTERWARDS, announce_drain, listeners, reload};
use hakata_forge::folder::{Folder, Htpasswd, People, PeopleSettings};
use hakata_git::Git;
use hakata_git::bare::{OpenRootError, Root, RootSettings};
use hakata_runtime::blocking::Blocking;
use hakata_runtime::clock::Clock;
use hakata_runtime::tasks::Tasks;
use hakata_runtime::units::ByteSize;
use hakata_service::health::Health;
use hakata_service::http::Server;
use hakata_service::listener::{Connections, Listener};
use hakata_service::shutdown::{Shutdown, Signals};
use hakata_service::tls::Tls;
use hakata_service::{log::Log, process};
use hakata_smart_http::BareHttp;
use scratch::Scratch;
use serde_json::json;
use std::sync::Arc;

/// What is decided before the runtime starts.
struct Start {
    settings: Settings,
    layers: Layers,
    scratch: Scratch,
    format: Format,
    place: Place,
    args: BareArgs,
}

/// Serves the folder until a signal, then drains.
pub(crate) fn run(args: &BareArgs, place: &Place) -> Result<Answer, Failure> {
    let layers = Layers::read(place, &args.settings())?;
    let scratch = Scratch::make(&environment::temporary_directory())
        .map_err(|error| Failure::failed("making a temporary directory", &error))?;
    let settings = layers.settings(scratch.path());
    let log = compose::start_log(&settings.log)?;
    compose::register_metrics();
    let runtime = compose::runtime(&settings.server)?;
    let format = if place.json { Format::Json } else { Format::Text };
    let start = Start { settings, layers, scratch, format, place: place.clone(), args: args.clone() };
    let served = runtime.block_on(serve(start, &log));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    served
}

async fn serve(start: Start, log: &Log) -> Result<Answer, Failure> {
    let Start { settings, layers, scratch, format, place, args } = start;
    let signals = Signals::listen().map_err(|error| Failure::failed("listening for signals", &error))?;
    process::raise_descriptor_limit();
    let (faces, engines) = (Tasks::new(), Tasks::new());
    let shutdown = Shutdown::new(faces.clone(), settings.server.drain);
    let folder = open_folder(&args, &settings, &engines).await?;
    let bound = Bound::new(&settings)?;
    let addresses = bound.addresses();
    let greeting = greeting(&args, &addresses, settings.tls.is_some());
    bound.serve(folder, &settings, &faces, &engines, &shutdown);
    let ready = args.ready_file.as_deref().map(|path| ReadyFile::write(path, &addresses)).transpose();
    let ready = ready.map_err(|error| Failure::failed("writing the ready file", &error))?;
    output::print(&Answer::Text(greeting, json!({ "listening": addresses })), format)
        .map_err(|error| Failure::failed("writing to standard output", &error))?;
    shutdown.on_reload(move || reload::reload(&layers, &place, &args.settings()));
    let drain = settings.server.drain;
    let drained = tokio::join!(shutdown.run(signals), announce_drain(&shutdown, &faces, drain)).0;
    drop(ready);
    engines.drain(AFTERWARDS).await;
    drop(scratch);
    log.flush();
    note(&match drained.cut {
        0 => "stopped: everything was finished".to_owned(),
        n => format!("stopped: {n} cut"),
    });
    Ok(Answer::Silent)
}

/// Finds git and opens the folder and the file of people.
async fn open_folder(args: &BareArgs, settings: &Settings, engines: &Tasks) -> Result<Folder, Failure> {
    let blocking = Blocking::new(settings.server.blocking_threads);
    let git = Git::find(settings.git.clone(), engines, blocking.clone()).await;
    let git = git.map_err(|error| {
        Failure::failed("looking for git", &error)
            .with_hint("install git 2.41 or newer, or name one: --set git.binary=PATH")
    })?;
    compose::start_warden(&git);
    let of_root = RootSettings {
        variables: environment::of_git(),
        export_all: args.export_all,
        keep_answers: args.native.refs == Switch::On,
        kept: ByteSize::new(settings.repository.snapshot_bytes),
    };
    let root = Root::open(&git, &args.root, of_root).await.map_err(|error| unopened(&error))?;
    if root.is_of_another() {
        note(&format!(
            "{} belongs to another user: git refuses repositories that are not your own\nhint: serve it as its owner, \
             or: git config --global --add safe.directory PATH",
            args.root.display()
        ));
    }
    let people = match &args.htpasswd {
        None => None,
        Some(path) => {
            let file = Htpasswd::open(path).map_err(|error| {
                Failure::failed("opening the file of passwords", &error)
                    .with_hint("make lines with: htpasswd -B FILE NAME")
            })?;
            let of_people = PeopleSettings {
                tries_per_minute: settings.forge.password_tries_per_minute,
                at_once: settings.forge.passwords_at_once,
                remembered_for: settings.forge.login_cache_for,
            };
            Some(People::new(file, of_people, blocking, Clock::System))
        }
    };
    Ok(Folder::new(root, people))
}

fn unopened(error: &OpenRootError) -> Failure {
    let failure = Failure::usage(output::chain(error));
    match error {
        OpenRootError::Absent { .. } => {
            failure.with_hint("make it, and a repository in it: git init --bare DIR/NAME.git")
        }
        OpenRootError::NotAFolder { .. } => {
            failure.with_hint("--root names the folder that holds repositories")
        }
        OpenRootError::Io { .. } => failure.with_hint("run this as a user that may read the folder"),
    }
}

/// Bound listeners; nobody is answered yet.
struct Bound {
    http: Listener,
    tls: Option<Tls>,
    admin: Option<Listener>,
}

impl Bound {
    fn new(settings: &Settings) -> Result<Self, Failure> {
        let Some(address) = &settings.listen.http else {
            return Err(Failure::usage("the listener of this service is off").with_hint("set http.address"));
        };
        let connections = Connections::new(settings.connections.clone());
        let own = Connections::new(settings.connections.clone());
        let tls = settings.tls.clone().map(Tls::load).transpose();
        let tls =
            tls.map_err(|error| Failure::failed("loading the certificate of the HTTP listener", &error))?;
        Ok(Self {
            http: listeners::bind("http", address, None, settings, &connections)?,
            tls,
            admin: listeners::bind_admin(&settings.listen, None, settings, &own)?,
        })
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            http: Some(self.http.local_address().to_string()),
            admin: self.admin.as_ref().map(|admin| admin.local_address().to_string()),
            ..Addresses::default()
        }
    }

    fn serve(self, folder: Folder, settings: &Settings, faces: &Tasks, engines: &Tasks, shutdown: &Shutdown) {
        let face = Arc::new(BareHttp::new(folder, settings.smart_http.clone()));
        let handler = move |request, facts| {
            let face = face.clone();
            async move { face.respond(request, &facts).await }
        };
        let mut server = Server::new("http", settings.http.clone(), handler);
        if let Some(tls) = self.tls {
            server = server.with_tls(tls.clone());
            reload::follow(&tls, "http", faces, shutdown);
        }
        listeners::accept("http_accept", self.http, server, faces);
        if let Some(admin) = self.admin {
            listeners::serve_admin(admin, Health::new(shutdown.clone()), settings, engines);
        }
    }
}

fn greeting(args: &BareArgs, addresses: &Addresses, is_tls: bool) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    let shown = |address: &Option<String>| address.clone().unwrap_or_else(|| "off".to_owned());
    let which = if args.export_all { "every repository" } else { "repositories with git-daemon-export-ok" };
    let people = match &args.htpasswd {
        Some(file) => format!("pushes by the people of {}", file.display()),
        None => "pushes where http.receivepack is true".to_owned(),
    };
    let Addresses { http, admin, .. } = addresses;
    format!(
        "hakata {} serves {}\n  http  {scheme}://{}   metrics  {}\n  {which}; {people}\n  git clone \
         {scheme}://{}/NAME.git",
        env!("CARGO_PKG_VERSION"),
        args.root.display(),
        shown(http),
        shown(admin),
        shown(http),
    )
}

impl BareArgs {
    /// The flags that are keys of the configuration.
    fn settings(&self) -> Vec<Setting> {
        let flags: [(&str, &'static str, &Option<ListenOn>); 2] =
            [("http.address", "--http", &self.http), ("admin.address", "--admin", &self.admin)];
        let given = flags.into_iter().filter_map(|(key, flag, address)| Some((key, flag, address.as_ref()?)));
        given
            .map(|(key, flag, address)| Setting { key: key.to_owned(), value: address.to_string(), flag })
            .collect()
    }
}

//! Batches. Source: git-lfs, docs/api/batch.md.

use std::time::Duration;

use hakata_forge::lfs::{self, Answer, Operation, Refusal as ObjectRefusal, Right, Signer, Wanted};
use hakata_forge::{Act, Grant, Read};
use hakata_names::{LfsOid, RefName};
use hakata_service::http::Body;
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use crate::face::Call;
use crate::json;
use crate::refusal::Refusal;

/// How an object is moved: the protocol's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transfer {
    /// In one request.
    Basic,
    /// In as many as it takes; of uploads only, and of those who offer it.
    Tus,
}

impl Transfer {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Tus => "tus",
        }
    }

    /// Chooses among what a client offers, which is basic if it says nothing.
    fn choose(offered: &[String], operation: Operation, is_resumable: bool) -> Option<Self> {
        let has = |transfer: Self| offered.iter().any(|name| name == transfer.as_str());
        if operation == Operation::Upload && is_resumable && has(Self::Tus) {
            return Some(Self::Tus);
        }
        (offered.is_empty() || has(Self::Basic)).then_some(Self::Basic)
    }
}

/// The one hash that names objects.
const SHA256: &str = "sha256";

/// What a client asks.
#[derive(Debug, Deserialize)]
struct Request {
    operation: String,
    #[serde(default)]
    transfers: Option<Vec<String>>,
    #[serde(default, rename = "ref")]
    ref_spec: Option<RefSpec>,
    #[serde(default)]
    objects: Option<Vec<Asked>>,
    #[serde(default)]
    hash_algo: Option<String>,
}

/// The ref that a request is about: it may be missing, `null`, empty or without a name.
#[derive(Debug, Default, Deserialize)]
struct RefSpec {
    #[serde(default)]
    name: Option<String>,
}

impl RefSpec {
    /// Parses the name, if it is that of a ref: clients without a branch send `HEAD`, or a commit.
    fn ref_name(spec: Option<&Self>) -> Option<RefName> {
        RefName::parse(spec?.name.as_deref()?.as_bytes()).ok()
    }
}

/// An object as a client writes it; what is wrong with it is said about it alone.
#[derive(Debug, Deserialize)]
struct Asked {
    oid: String,
    size: Size,
}

/// A length, or a number that is none; it is answered as it was asked.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum Size {
    Whole(u64),
    Negative(i64),
    Odd(f64),
}

/// What is answered.
#[derive(Serialize)]
struct Batch<'a> {
    transfer: &'static str,
    objects: Vec<Object<'a>>,
    hash_algo: &'static str,
}

#[derive(Serialize)]
struct Object<'a> {
    oid: &'a str,
    size: Size,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actions: Option<Actions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ObjectError>,
}

#[derive(Serialize)]
struct ObjectError {
    code: u16,
    message: String,
}

#[derive(Serialize)]
struct Actions {
    #[serde(skip_serializing_if = "Option::is_none")]
    download: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<Action>,
}

#[derive(Clone, Serialize)]
struct Action {
    href: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

#[derive(Clone, Serialize)]
struct Header {
    #[serde(rename = "Authorization")]
    authorization: String,
}

/// Answers a batch: 200, whatever is said about its objects.
pub(crate) async fn answer(call: &Call<'_>, body: &mut Body) -> Result<Response<Body>, Refusal> {
    let request: Request = call.json(body).await?;
    let unprocessable = |words: &str| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, words);
    let operation = Operation::parse(&request.operation)
        .ok_or_else(|| unprocessable("the operation of a batch is download or upload"))?;
    let objects = request.objects.ok_or_else(|| unprocessable("a batch names its objects"))?;
    let limit = call.face.settings.max_objects;
    if objects.len() > limit {
        let words = format!("a batch may have {limit} objects, and this one has {}", objects.len());
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, words));
    }
    let ref_name = RefSpec::ref_name(request.ref_spec.as_ref());
    let algorithm = request.hash_algo.as_deref().filter(|name| !name.is_empty()).unwrap_or(SHA256);
    let decided = Decided::new(&objects, algorithm == SHA256);
    let forge = &call.face.forge;
    let offered = request.transfers.unwrap_or_default();
    let is_resumable = decided.wanted.iter().all(|wanted| wanted.size_bytes <= forge.lfs_resumable_bytes());
    let transfer = Transfer::choose(&offered, operation, is_resumable).ok_or_else(|| {
        unprocessable("this server speaks the transfers basic and, for uploads, tus; none was offered")
    })?;
    let answered = match operation {
        Operation::Download => {
            let grant = call.grant::<Read>(operation, None).await?;
            let answers = lfs::batch_download(forge, &grant, &decided.wanted).await;
            let answers = answers.map_err(|error| call.refuse(&error))?;
            decided.objects(call, &grant, (operation, transfer), answers).await?
        }
        Operation::Upload => {
            let grant = call.authority.open_upload(forge, call.path).await;
            let grant = grant.map_err(|error| call.refuse(&error))?;
            let answers = lfs::batch_upload(forge, &grant, ref_name.as_ref(), &decided.wanted).await;
            let answers = answers.map_err(|error| call.refuse(&error))?;
            decided.objects(call, &grant, (operation, transfer), answers).await?
        }
    };
    Ok(json::answer(
        StatusCode::OK,
        &Batch { transfer: transfer.as_str(), objects: answered, hash_algo: SHA256 },
    ))
}

/// The objects of a batch, and those of them that make sense.
struct Decided<'a> {
    asked: &'a [Asked],
    /// For each, what is wrong with it.
    faults: Vec<Option<ObjectError>>,
    /// Those of which nothing is wrong, in order.
    wanted: Vec<Wanted>,
}

impl<'a> Decided<'a> {
    fn new(asked: &'a [Asked], is_sha256: bool) -> Self {
        let (mut faults, mut wanted) = (Vec::with_capacity(asked.len()), Vec::with_capacity(asked.len()));
        for object in asked {
            let fault = match object.wanted() {
                _ if !is_sha256 => Some(ObjectError {
                    code: StatusCode::CONFLICT.as_u16(),
                    message: "objects are named by sha256 here".to_owned(),
                }),
                Ok(object) => {
                    wanted.push(object);
                    None
                }
                Err(message) => {
                    Some(ObjectError { code: StatusCode::UNPROCESSABLE_ENTITY.as_u16(), message })
                }
            };
            faults.push(fault);
        }
        Self { asked, faults, wanted }
    }

    /// Puts the answers of the forge beside what was asked, with an action for each that is to be moved.
    async fn objects<A: Act>(
        self,
        call: &Call<'_>,
        grant: &Grant<A>,
        (operation, transfer): (Operation, Transfer),
        answers: Vec<Answer>,
    ) -> Result<Vec<Object<'a>>, Refusal> {
        let base = call.base_url(grant.path())?;
        let signer = call.face.forge.lfs_signer(grant).await.map_err(|error| call.refuse(&error))?;
        let mut answers = self.wanted.into_iter().zip(answers);
        let mut objects = Vec::with_capacity(self.asked.len());
        for (asked, fault) in self.asked.iter().zip(self.faults) {
            let mut object = Object {
                oid: &asked.oid,
                size: asked.size,
                authenticated: None,
                actions: None,
                error: fault,
            };
            if object.error.is_none()
                && let Some((wanted, answer)) = answers.next()
            {
                match answer {
                    Answer::Present => {}
                    Answer::Refused(refusal) => object.error = Some(refusal.into()),
                    Answer::Transfer => {
                        let action = Action::new(signer.as_ref(), operation, &wanted, &base);
                        let actions = Actions::new(operation, transfer, &action);
                        object.authenticated = action.header.is_some().then_some(true);
                        object.actions = Some(actions);
                    }
                }
            }
            objects.push(object);
        }
        Ok(objects)
    }
}

impl Action {
    fn new(signer: Option<&Signer<'_>>, operation: Operation, wanted: &Wanted, base: &str) -> Self {
        let href = format!("{base}/objects/{}", wanted.oid);
        let right = Right { operation, object: Some((wanted.oid, wanted.size_bytes)) };
        let header =
            signer.map(|signer| Header { authorization: format!("Bearer {}", signer.token(right).expose()) });
        Self {
            href,
            header,
            expires_in: signer.map(|signer| seconds(signer.expires_in)),
            expires_at: signer.map(|signer| json::time(signer.expires_at_ms)),
        }
    }
}

/// Whole seconds, within what the protocol allows.
pub(crate) fn seconds(duration: Duration) -> u64 {
    duration.as_secs().min(i32::MAX.unsigned_abs().into())
}

impl Actions {
    fn new(operation: Operation, transfer: Transfer, action: &Action) -> Self {
        let at = |tail: &str| Action { href: format!("{}{tail}", action.href), ..action.clone() };
        match operation {
            Operation::Download => Self { download: Some(action.clone()), upload: None, verify: None },
            Operation::Upload => {
                let upload = if transfer == Transfer::Tus { at("/tus") } else { at("") };
                Self { download: None, upload: Some(upload), verify: Some(at("/verify")) }
            }
        }
    }
}

impl Asked {
    fn wanted(&self) -> Result<Wanted, String> {
        let oid = LfsOid::parse(self.oid.as_bytes()).map_err(|error| error.to_string())?;
        match self.size {
            // Rows hold signed numbers.
            Size::Whole(size_bytes) if i64::try_from(size_bytes).is_ok() => Ok(Wanted { oid, size_bytes }),
            _ => Err("size must be a whole number of bytes, at least 0".to_owned()),
        }
    }
}

impl From<ObjectRefusal> for ObjectError {
    fn from(refusal: ObjectRefusal) -> Self {
        Self { code: status_of(&refusal).as_u16(), message: refusal.to_string() }
    }
}

/// The code of an object that is not served.
pub(crate) fn status_of(refusal: &ObjectRefusal) -> StatusCode {
    match refusal {
        ObjectRefusal::Missing => StatusCode::NOT_FOUND,
        ObjectRefusal::Removed => StatusCode::GONE,
        ObjectRefusal::OtherSize { .. } | ObjectRefusal::TooLarge { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        ObjectRefusal::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
    }
}

#[cfg(test)]
mod tests {
    use super::{Decided, Operation, RefSpec, Request, Transfer};

    fn request(text: &str) -> Request {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn c5_the_ref_may_be_anything_that_names_none() {
        for spec in [
            "",
            r#","ref":null"#,
            r#","ref":{}"#,
            r#","ref":{"name":""}"#,
            r#","ref":{"name":null}"#,
            r#","ref":{"name":"HEAD"}"#,
            r#","ref":{"name":"1234567890123456789012345678901234567890"}"#,
            r#","ref":{"name":"../x"}"#,
        ] {
            let text = format!(r#"{{"operation":"download","objects":[],"unknown":{{"a":[1]}}{spec}}}"#);
            let request = request(&text);
            assert_eq!(RefSpec::ref_name(request.ref_spec.as_ref()), None, "{spec}");
        }
        let named =
            request(r#"{"operation":"upload","ref":{"name":"refs/heads/main","more":1},"transfers":null}"#);
        let name = RefSpec::ref_name(named.ref_spec.as_ref()).unwrap();
        assert_eq!(name.as_bytes(), b"refs/heads/main");
    }

    #[test]
    fn b5_t10_a_transfer_is_chosen_among_those_offered() {
        use Transfer::{Basic, Tus};
        for (offered, upload, too_large, download) in [
            (&[][..], Some(Basic), Some(Basic), Some(Basic)),
            (&["basic"], Some(Basic), Some(Basic), Some(Basic)),
            (&["tus", "lfs-standalone-file", "basic", "ssh"], Some(Tus), Some(Basic), Some(Basic)),
            (&["basic", "tus"], Some(Tus), Some(Basic), Some(Basic)),
            (&["tus"], Some(Tus), None, None),
            (&["ssh"], None, None, None),
        ] {
            let offered: Vec<String> = offered.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(Transfer::choose(&offered, Operation::Upload, true), upload, "{offered:?}");
            assert_eq!(Transfer::choose(&offered, Operation::Upload, false), too_large, "{offered:?}");
            assert_eq!(Transfer::choose(&offered, Operation::Download, true), download, "{offered:?}");
        }
    }

    /// The edge cases of git-lfs-test-server-api, and worse.
    #[test]
    fn b3_edge_cases() {
        let good = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
        let cases = [
            (good.to_owned(), "0", true),
            (good.to_owned(), "1", true),
            (good.to_owned(), "9223372036854775807", true),
            (good.to_owned(), "9223372036854775808", false),
            (good.to_owned(), "-1", false),
            (good.to_owned(), "-9223372036854775808", false),
            (good.to_owned(), "1.5", false),
            (good.to_owned(), "1e300", false),
            (good[1..].to_owned(), "1", false),
            (format!("{good}0"), "1", false),
            (good.to_uppercase(), "1", false),
            (format!("{}-", &good[1..]), "1", false),
            ("../../../etc/passwd".to_owned(), "1", false),
            (String::new(), "1", false),
        ];
        let objects: Vec<String> = cases
            .iter()
            .map(|(oid, size, _)| format!(r#"{{"oid":"{oid}","size":{size},"x":null}}"#))
            .collect();
        let text = format!(r#"{{"operation":"upload","objects":[{}]}}"#, objects.join(","));
        let objects = request(&text).objects.unwrap();
        let decided = Decided::new(&objects, true);
        for ((oid, size, is_good), fault) in cases.iter().zip(&decided.faults) {
            assert_eq!(fault.is_none(), *is_good, "{oid} {size}");
            assert!(fault.as_ref().is_none_or(|fault| fault.code == 422), "{oid} {size}");
        }
        assert_eq!(decided.wanted.len(), 3);
        let other = Decided::new(&objects, false);
        assert!(
            other.faults.iter().all(|fault| fault.as_ref().is_some_and(|fault| fault.code == 409)),
            "b10"
        );
    }
}

//! The page behind the link in letters by which a reader leaves, and the click without a page. Source: RFC 8058.
//!
//! ```text
//! GET  /-/mail/mute/TOKEN   a page with one button: programs that follow links of letters change nothing
//! POST /-/mail/mute/TOKEN   leaves; mail programs send it by themselves, the button too
//! ```
//!
//! Nobody signs in here and no cookie is looked at: the token is all the proof, and can do nothing but make less mail.

use hakata_forge::mail::{Language, Muted};
use hakata_forge::{Error, Forge};
use hakata_service::http::{Body, RequestFacts};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY};
use http::{Method, Request, Response, StatusCode};

use crate::answer;
use crate::refusal::Refusal;

/// What the paths begin with.
const PREFIX: &str = "/-/mail/mute/";

/// The largest body of a click, which is not looked at.
const MAX_BODY: u64 = 4 << 10;

/// Nothing is loaded, and the form goes back to where it is from.
const POLICY: &str = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The page, in front of a forge.
#[derive(Debug)]
pub struct MutePage {
    forge: Forge,
}

impl MutePage {
    /// Puts the page in front of a forge.
    pub fn new(forge: Forge) -> Self {
        Self { forge }
    }

    /// Answers a request, or gives it back if its path is another's.
    ///
    /// # Errors
    /// The request, unread.
    pub async fn respond(
        &self,
        request: Request<Body>,
        facts: &RequestFacts,
    ) -> Result<Response<Body>, Request<Body>> {
        let Some(token) = request.uri().path().strip_prefix(PREFIX).map(str::to_owned) else {
            return Err(request);
        };
        let (head, body) = request.into_parts();
        let done = match head.method {
            Method::GET | Method::HEAD => {
                self.forge.read_mute_token(&token).await.map(|muted| muted.map(ask))
            }
            Method::POST => {
                // A body that is too long for a click is none.
                if body.collect(MAX_BODY).await.is_err() {
                    return Ok(page(StatusCode::PAYLOAD_TOO_LARGE, Language::En, "Too large", ""));
                }
                self.forge.mute(&token).await.map(|muted| muted.map(tell))
            }
            _ => return Ok(answer::refusal(Refusal::method("GET, HEAD, POST"))),
        };
        Ok(done.map_or_else(|error| refuse(&error, facts), |found| found.unwrap_or_else(unknown)))
    }
}

fn refuse(error: &Error, facts: &RequestFacts) -> Response<Body> {
    answer::refusal(Refusal::of_forge(error, facts.id))
}

fn ask(muted: Muted) -> Response<Body> {
    let words = match (muted.language, muted.is_all) {
        (Language::En, false) => "Stop all mail about this repository?",
        (Language::En, true) => "Stop all mail, except about the security of your account?",
        (Language::Ja, false) => "このリポジトリに関するメールをすべて停止しますか?",
        (Language::Ja, true) => "アカウントのセキュリティに関わるものを除き、メールをすべて停止しますか?",
    };
    let button = match muted.language {
        Language::En => "Stop",
        Language::Ja => "停止する",
    };
    let form = format!(
        "<form method=\"post\"><button name=\"List-Unsubscribe\" value=\"One-Click\">{button}</button></form>"
    );
    page(StatusCode::OK, muted.language, words, &form)
}

fn tell(muted: Muted) -> Response<Body> {
    let words = match (muted.language, muted.is_all) {
        (Language::En, false) => "There will be no more mail about this repository.",
        (Language::En, true) => "There will be no more mail, except about the security of your account.",
        (Language::Ja, false) => "このリポジトリに関するメールを停止しました。",
        (Language::Ja, true) => "アカウントのセキュリティに関わるものを除き、メールを停止しました。",
    };
    page(StatusCode::OK, muted.language, words, "")
}

fn unknown() -> Response<Body> {
    page(StatusCode::NOT_FOUND, Language::En, "This link is not one of ours, or its account is gone.", "")
}

fn page(status: StatusCode, language: Language, words: &str, form: &str) -> Response<Body> {
    let language = language.as_str();
    let text = format!(
        "<!DOCTYPE html>\n<html lang=\"{language}\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Hakata</title></head>\n\
         <body>\n<p>{words}</p>\n{form}\n</body>\n</html>\n"
    );
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The link is a secret of its reader.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

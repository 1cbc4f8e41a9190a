use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use hakata_runtime::tasks::Tasks;
use prost::Message;

use super::{Client, Ends, Settings};
use crate::call::{Answers, Call, Pending, Requests};
use crate::metrics::{Comparison, SHADOWS};
use crate::operation::{StreamRpc, Transport, UnaryRpc, UploadRpc};
use crate::route::{Canary, Route, Routes};
use crate::status::{Code, Status};
use crate::v1::{
    self, BlobService, CommitFilesRequest, CommitService, MergeBaseRequest, MergeService, SizesRequest,
};
use crate::v1::{GetRefRequest, ListTagsRequest, Operation, Operations, RefService, UpdateRefsRequest};

/// Answers everything with nothing, or refuses the first calls.
#[derive(Default)]
struct Stub {
    n_calls: AtomicU32,
    n_broken: u32,
    wrong: bool,
    calls: std::sync::Mutex<Vec<Call>>,
    n_parts: std::sync::Mutex<Vec<usize>>,
}

impl Stub {
    fn next(&self) -> Result<(), Status> {
        match self.n_calls.fetch_add(1, Ordering::Relaxed) < self.n_broken {
            true => Err(Status::unreached("broken")),
            false if self.wrong => Err(Status::not_found("wrong")),
            false => Ok(()),
        }
    }
}

impl Transport for Arc<Stub> {
    fn unary<R: UnaryRpc>(&self, call: Call, _request: R::Request) -> Pending<R::Response> {
        self.calls.lock().unwrap().push(call);
        let next = self.next().map(|()| R::Response::default());
        Box::pin(async { next })
    }

    fn stream<R: StreamRpc>(&self, _call: Call, _request: R::Request) -> Answers<R::Response> {
        let next = self.next().map(|()| R::Response::default());
        Box::pin(futures_util::stream::iter([next]))
    }

    /// Breaks behind the second part, the first times; knows the answer by the first part after that.
    fn upload<R: UploadRpc>(&self, call: Call, request: Requests<R::Request>) -> Pending<R::Response> {
        self.calls.lock().unwrap().push(call);
        let stub = self.clone();
        Box::pin(async move {
            let n_parts = request.take(2).count().await;
            stub.n_parts.lock().unwrap().push(n_parts);
            stub.next().map(|()| R::Response::default())
        })
    }
}

fn client(stub: &Arc<Stub>, routes: &Routes) -> Client {
    let local: Arc<dyn Operations> = Arc::new(stub.clone());
    Client::new(Ends { local: Some(local), ..Ends::default() }, routes, Settings::default(), Tasks::new())
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_is_asked_again_until_somebody_answers_or_enough_was_tried() {
    let stub = Arc::new(Stub { n_broken: 2, ..Stub::default() });
    let answer = client(&stub, &Routes::default()).get_ref(Call::default(), GetRefRequest::default()).await;
    assert!(answer.is_ok());
    assert_eq!(stub.n_calls.load(Ordering::Relaxed), 3);

    let stub = Arc::new(Stub { n_broken: 9, ..Stub::default() });
    let answer = client(&stub, &Routes::default()).get_ref(Call::default(), GetRefRequest::default()).await;
    assert_eq!(answer.map_err(|status| status.code), Err(Code::Unavailable));
    assert_eq!(stub.n_calls.load(Ordering::Relaxed), Settings::default().max_attempts);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_asked_again_under_one_name() {
    let stub = Arc::new(Stub { n_broken: 2, ..Stub::default() });
    let answer =
        client(&stub, &Routes::default()).update_refs(Call::default(), UpdateRefsRequest::default()).await;
    assert!(answer.is_ok());
    let calls = stub.calls.lock().unwrap();
    let keys: Vec<_> = calls.iter().map(|call| call.idempotency_key.as_deref().unwrap()).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 32), "{keys:?}");
    assert!(calls.iter().all(|call| call.deadline.is_some()), "no call waits for ever");
}

#[tokio::test(start_paused = true)]
async fn a_broken_route_rests_and_is_tried_again() {
    let breakers = super::Breakers::default();
    let settings = Settings::default();
    let breaker = breakers.get(Operation::CommitGet, Route::Grpc);
    for _ in 0..settings.max_failures {
        assert!(!breaker.rests(settings.rest));
        breaker.failed(&settings, true);
    }
    assert!(breaker.rests(settings.rest), "it has failed often enough");
    assert!(
        !breakers.get(Operation::CommitGet, Route::Msgpack).rests(settings.rest),
        "another route is not meant"
    );
    tokio::time::advance(settings.rest).await;
    assert!(!breaker.rests(settings.rest), "one call tries it");
    assert!(breaker.rests(settings.rest), "and no other");
    breaker.answered();
    assert!(!breaker.rests(settings.rest) && !breaker.is_open());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_is_taken_up_behind_its_last_part() {
    /// Answers two parts, then breaks; from the second time on there is one more.
    struct Breaks(std::sync::Mutex<Vec<Bytes>>);
    impl Transport for Arc<Breaks> {
        fn unary<R: UnaryRpc>(&self, _call: Call, _request: R::Request) -> Pending<R::Response> {
            Box::pin(async { Ok(R::Response::default()) })
        }
        fn stream<R: StreamRpc>(&self, _call: Call, request: R::Request) -> Answers<R::Response> {
            let bytes = request.encode_to_vec();
            let asked = ListTagsRequest::decode(&bytes[..]).unwrap().cursor;
            let mut seen = self.0.lock().unwrap();
            seen.push(asked.clone());
            let part = |cursor: &'static [u8]| {
                let part = v1::ListTagsResponse { cursor: cursor.into(), ..Default::default() };
                R::Response::decode(&part.encode_to_vec()[..]).unwrap()
            };
            let parts = match &asked[..] {
                b"" => vec![Ok(part(b"1")), Ok(part(b"2")), Err(Status::unreached("broken"))],
                _ => vec![Ok(part(b""))],
            };
            Box::pin(futures_util::stream::iter(parts))
        }
        fn upload<R: UploadRpc>(&self, _call: Call, _request: Requests<R::Request>) -> Pending<R::Response> {
            Box::pin(async { Ok(R::Response::default()) })
        }
    }
    let breaks = Arc::new(Breaks(std::sync::Mutex::default()));
    let ends = Ends { local: Some(Arc::new(breaks.clone())), ..Ends::default() };
    let client = Client::new(ends, &Routes::default(), Settings::default(), Tasks::new()).unwrap();
    // What is still wanted of a limit is in the cursor.
    let request = ListTagsRequest { limit: 3, ..ListTagsRequest::default() };
    let parts: Vec<_> = client.list_tags(Call::default(), request).collect().await;
    let cursors: Vec<_> = parts.into_iter().map(|part| part.unwrap().cursor).collect();
    assert_eq!(cursors, ["1", "2", ""]);
    assert_eq!(*breaks.0.lock().unwrap(), ["", "2"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_operation_is_an_answer() {
    let stub = Arc::new(Stub { wrong: true, ..Stub::default() });
    let mut answers =
        client(&stub, &Routes::default()).list_tags(Call::default(), ListTagsRequest::default());
    let first = answers.next().await.unwrap();
    assert_eq!(first.map_err(|status| status.code), Err(Code::NotFound));
    assert_eq!(stub.n_calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_route_is_compared() {
    // Both routes lead to one stub that breaks for the second caller only in what it says.
    struct Turns(AtomicU32);
    impl Transport for Arc<Turns> {
        fn unary<R: UnaryRpc>(&self, _call: Call, _request: R::Request) -> Pending<R::Response> {
            let first = self.0.fetch_add(1, Ordering::Relaxed) == 0;
            let answer = if first { Ok(R::Response::default()) } else { Err(Status::not_found("other")) };
            Box::pin(async { answer })
        }
        fn stream<R: StreamRpc>(&self, _call: Call, _request: R::Request) -> Answers<R::Response> {
            Box::pin(futures_util::stream::empty())
        }
        fn upload<R: UploadRpc>(&self, _call: Call, _request: Requests<R::Request>) -> Pending<R::Response> {
            Box::pin(async { Ok(R::Response::default()) })
        }
    }
    let routes = Routes {
        shadow: BTreeMap::from([("sizes".into(), Route::Local), ("merge_base".into(), Route::Local)]),
        ..Routes::default()
    };
    let tasks = Tasks::new();
    let local: Arc<dyn Operations> = Arc::new(Arc::new(Turns(AtomicU32::new(0))));
    let ends = Ends { local: Some(local), ..Ends::default() };
    let client = Client::new(ends, &routes, Settings::default(), tasks.clone()).unwrap();
    assert!(client.merge_base(Call::default(), MergeBaseRequest::default()).await.is_ok());
    tasks.empty().await;
    assert_eq!(SHADOWS.get((Operation::CommitMergeBase, Comparison::Different)).get(), 1);
    assert!(client.sizes(Call::default(), SizesRequest::default()).await.is_err());
    tasks.empty().await;
    assert_eq!(SHADOWS.get((Operation::BlobSizes, Comparison::Equal)).get(), 1);
}

#[tokio::test(start_paused = true)]
async fn routes_change_while_calls_are_made() {
    let stub = Arc::new(Stub::default());
    let client = client(&stub, &Routes::default());
    let grpc = Routes { default: Route::Grpc, ..Routes::default() };
    assert!(client.set_routes(&grpc).is_err(), "nothing is configured there");
    assert!(client.get_ref(Call::default(), GetRefRequest::default()).await.is_ok());
    let canary = Canary { to: Route::Local, percent: 50 };
    let routes = Routes { canary: BTreeMap::from([("ref".to_owned(), canary)]), ..Routes::default() };
    assert!(client.set_routes(&routes).is_ok());
    assert!(client.get_ref(Call::default(), GetRefRequest::default()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_in_parts_is_said_once_and_its_first_part_again() {
    let parts =
        |n: usize| Requests::new(futures_util::stream::iter(vec![Ok(CommitFilesRequest::default()); n]));
    // Nothing but the first part was to be said: it is the whole.
    let stub = Arc::new(Stub { n_broken: 2, ..Stub::default() });
    let answer = client(&stub, &Routes::default()).commit_files(Call::default(), parts(1)).await;
    assert!(answer.is_ok());
    assert_eq!(*stub.n_parts.lock().unwrap(), [1, 1, 1]);

    // The rest went with the first attempt; who has the answer gives it by the name.
    let stub = Arc::new(Stub { n_broken: 1, ..Stub::default() });
    let answer = client(&stub, &Routes::default()).commit_files(Call::default(), parts(3)).await;
    assert!(answer.is_ok());
    assert_eq!(*stub.n_parts.lock().unwrap(), [2, 1]);
    let keys: Vec<_> = stub.calls.lock().unwrap().iter().map(|call| call.idempotency_key.clone()).collect();
    assert!(keys[0].is_some() && keys[0] == keys[1], "{keys:?}");

    // Who has none refuses: that says nothing of the whole.
    let stub = Arc::new(Stub { n_broken: 1, wrong: true, ..Stub::default() });
    let answer = client(&stub, &Routes::default()).commit_files(Call::default(), parts(3)).await;
    assert_eq!(answer.map_err(|status| status.code), Err(Code::Unavailable));

    let stub = Arc::new(Stub::default());
    let broken = Requests::new(futures_util::stream::iter([Err(Status::not_found("my own"))]));
    let answer = client(&stub, &Routes::default()).commit_files(Call::default(), broken).await;
    assert_eq!(answer.map_err(|status| status.message), Err("my own".to_owned()));
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::StreamExt;
use hakata_runtime::tasks::Tasks;

use super::{Client, Ends, MAX_ATTEMPTS};
use crate::call::{Answers, Call, Pending};
use crate::metrics::{Comparison, SHADOWS};
use crate::operation::{StreamRpc, Transport, UnaryRpc};
use crate::route::{Canary, Route, Routes};
use crate::status::{Code, Status};
use crate::v1::{BlobService, CommitService, MergeBaseRequest, SizesRequest};
use crate::v1::{GetRefRequest, ListTagsRequest, Operation, Operations, RefService, UpdateRefsRequest};

/// Answers everything with nothing, or refuses the first calls.
#[derive(Default)]
struct Stub {
    n_calls: AtomicU32,
    n_broken: u32,
    wrong: bool,
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
    fn unary<R: UnaryRpc>(&self, _call: Call, _request: R::Request) -> Pending<R::Response> {
        let next = self.next().map(|()| R::Response::default());
        Box::pin(async { next })
    }

    fn stream<R: StreamRpc>(&self, _call: Call, _request: R::Request) -> Answers<R::Response> {
        let next = self.next().map(|()| R::Response::default());
        Box::pin(futures_util::stream::iter([next]))
    }
}

fn client(stub: &Arc<Stub>, routes: &Routes) -> Client {
    let local: Arc<dyn Operations> = Arc::new(stub.clone());
    Client::new(Ends { local: Some(local), ..Ends::default() }, routes, Tasks::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_asked_again_and_a_writer_is_not() {
    let stub = Arc::new(Stub { n_broken: 2, ..Stub::default() });
    let answer = client(&stub, &Routes::default()).get_ref(Call::default(), GetRefRequest::default()).await;
    assert!(answer.is_ok());
    assert_eq!(stub.n_calls.load(Ordering::Relaxed), MAX_ATTEMPTS);

    let stub = Arc::new(Stub { n_broken: 1, ..Stub::default() });
    let answer =
        client(&stub, &Routes::default()).update_refs(Call::default(), UpdateRefsRequest::default()).await;
    assert_eq!(answer.map_err(|status| status.code), Err(Code::Unavailable));
    assert_eq!(stub.n_calls.load(Ordering::Relaxed), 1);
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
    }
    let routes = Routes {
        shadow: BTreeMap::from([("sizes".into(), Route::Local), ("merge_base".into(), Route::Local)]),
        ..Routes::default()
    };
    let tasks = Tasks::new();
    let local: Arc<dyn Operations> = Arc::new(Arc::new(Turns(AtomicU32::new(0))));
    let client = Client::new(Ends { local: Some(local), ..Ends::default() }, &routes, tasks.clone()).unwrap();
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

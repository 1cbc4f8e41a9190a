//! Calls as bytes: a frame is a zero, a length of four bytes, and a message.

use super::*;
use crate::server::tests::Bench;
use http::header::CONTENT_TYPE;
use prost::Message;
use std::pin::Pin;

fn grpc(bench: &Bench) -> (Grpc, CancellationToken) {
    let drain = CancellationToken::new();
    (Grpc::new(bench.issuer.clone(), bench.stats.clone(), drain.clone()), drain)
}

fn request(path: &str, message: &impl Message) -> Request<Body> {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    Request::post(path).header(CONTENT_TYPE, "application/grpc").body(Body::full(frame)).unwrap()
}

/// Calls a method that answers once; returns its message, or the code of its failure.
async fn call<T: Message + Default>(grpc: &Grpc, path: &str, message: &impl Message) -> Result<T, String> {
    let response = grpc.respond(request(path, message)).await;
    assert_eq!(response.status(), 200);
    let of =
        |headers: &http::HeaderMap| headers.get("grpc-status").map(|code| code.to_str().unwrap().to_owned());
    if let Some(code) = of(response.headers()).filter(|code| code != "0") {
        return Err(code);
    }
    let (mut data, mut code) = (Vec::new(), None);
    let mut body = response.into_body();
    while let Some(frame) =
        std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx)).await
    {
        match frame.unwrap().into_data() {
            Ok(bytes) => data.extend_from_slice(&bytes),
            Err(frame) => code = of(frame.trailers_ref().unwrap()),
        }
    }
    match code.as_deref() {
        Some("0") => Ok(T::decode(&data[5..]).unwrap()),
        code => Err(code.unwrap_or("none").to_owned()),
    }
}

const FETCH: &str = "/katsubushi.Generator/Fetch";
const MULTI: &str = "/katsubushi.Generator/FetchMulti";

#[tokio::test]
async fn ids_rise_and_counts_follow() {
    let bench = Bench::new();
    let (grpc, _drain) = grpc(&bench);
    let one: FetchResponse = call(&grpc, FETCH, &FetchRequest {}).await.unwrap();
    let mut ids = vec![one.id];
    for (n, given) in [(0, 1), (1, 1), (1_000, 1_000)] {
        let many: FetchMultiResponse = call(&grpc, MULTI, &FetchMultiRequest { n }).await.unwrap();
        assert_eq!(many.ids.len(), given, "n = {n}");
        ids.extend(many.ids);
    }
    assert!(ids.is_sorted_by(|a, b| a < b));
    let refused = call::<FetchMultiResponse>(&grpc, MULTI, &FetchMultiRequest { n: 1_001 }).await;
    assert_eq!(refused.unwrap_err(), "3", "invalid argument");
    let stats: StatsResponse = call(&grpc, "/katsubushi.Stats/Get", &StatsRequest {}).await.unwrap();
    assert_eq!((stats.get_hits, stats.cmd_get, stats.get_misses), (1_003, 1_003, 0));
    bench.issuer.generator().stop();
    assert_eq!(call::<FetchResponse>(&grpc, FETCH, &FetchRequest {}).await.unwrap_err(), "14", "unavailable");
    for path in ["/katsubushi.Generator/Nope", "/nope.Nope/Nope", "/"] {
        assert_eq!(call::<FetchResponse>(&grpc, path, &FetchRequest {}).await.unwrap_err(), "12", "{path}");
    }
}

#[tokio::test]
async fn health_is_known_for_each_service() {
    use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
    let (grpc, _drain) = grpc(&Bench::new());
    let check = "/grpc.health.v1.Health/Check";
    for service in ["", "katsubushi.Generator", "katsubushi.Stats"] {
        let asked = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(call::<HealthCheckResponse>(&grpc, check, &asked).await.unwrap().status, 1, "{service:?}");
    }
    let asked = HealthCheckRequest { service: "other".to_owned() };
    assert_eq!(call::<HealthCheckResponse>(&grpc, check, &asked).await.unwrap_err(), "5");
}

#[tokio::test]
async fn a_watch_ends_with_the_server() {
    use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
    let (grpc, drain) = grpc(&Bench::new());
    drain.cancel();
    let watch = "/grpc.health.v1.Health/Watch";
    let ended = call::<HealthCheckResponse>(&grpc, watch, &HealthCheckRequest::default()).await;
    assert_eq!(ended.unwrap_err(), "14", "whoever watches is told to ask another server");
}

#[tokio::test]
async fn reflection_tells_the_services() {
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
    let (grpc, _drain) = grpc(&Bench::new());
    let asked = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let told: ServerReflectionResponse = call(&grpc, &path, &asked).await.unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = told.message_response else {
            panic!("{version} answers what it was asked");
        };
        let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
        for name in ["katsubushi.Generator", "katsubushi.Stats", "grpc.health.v1.Health"] {
            assert!(names.contains(&name), "{version}: {names:?}");
        }
    }
}

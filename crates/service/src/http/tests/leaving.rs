//! Clients that leave in the middle, and clients that only close their side.

use super::*;
use std::sync::Mutex;
use tokio::sync::{mpsc, oneshot};

/// A token that tells when it was dropped.
fn token() -> (Mutex<Option<oneshot::Sender<()>>>, oneshot::Receiver<()>) {
    let (alive, dropped) = oneshot::channel();
    (Mutex::new(Some(alive)), dropped)
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn the_function_that_answers_is_dropped() {
    let tasks = Tasks::new();
    let (alive, dropped) = token();
    let (begun, mut begins) = mpsc::unbounded_channel();
    let mut client = connect(&tasks, Settings::default(), move |_, _| {
        let alive = alive.lock().unwrap().take();
        begun.send(()).unwrap();
        async move {
            let _alive = alive;
            std::future::pending::<Response<Body>>().await
        }
    });
    client.write_all(GET).await.unwrap();
    begins.recv().await.unwrap();
    drop(client);
    assert!(dropped.await.is_err());
    tasks.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_waits_for_its_source_is_dropped() {
    for with_request_body in [false, true] {
        let tasks = Tasks::new();
        let (alive, dropped) = token();
        let mut client = connect(&tasks, Settings::default(), move |request: Request<Body>, _| {
            let alive = alive.lock().unwrap().take();
            async move {
                request.into_body().collect(100).await.unwrap();
                Response::new(Body::produce(|mut writer| async move {
                    let _alive = alive;
                    writer.write_all(b"begin").await?;
                    std::future::pending().await
                }))
            }
        });
        let body = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc".as_slice();
        client.write_all(if with_request_body { body } else { GET }).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"begin\r\n") {
            seen.push(client.read_u8().await.unwrap());
        }
        drop(client);
        assert!(dropped.await.is_err());
        tasks.empty().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_body_that_breaks_off_fails_to_read() {
    let tasks = Tasks::new();
    let (told, mut tells) = mpsc::unbounded_channel();
    let mut client = connect(&tasks, Settings::default(), move |request: Request<Body>, _| {
        let told = told.clone();
        async move {
            told.send(request.into_body().collect(100).await.map(|_| ())).unwrap();
            Response::new(Body::empty())
        }
    });
    client.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\nabc").await.unwrap();
    drop(client);
    assert!(matches!(tells.recv().await.unwrap(), Err(BodyError::Receive(_))));
    tasks.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closed_its_side_still_gets_the_answer() {
    let tasks = Tasks::new();
    let mut client = connect(&tasks, Settings::default(), |_, _| async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        Response::new(Body::produce(|mut writer| async move {
            for _ in 0..10 {
                writer.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(900)).await;
            }
            Ok(())
        }))
    });
    client.write_all(GET).await.unwrap();
    client.shutdown().await.unwrap();
    let answer = read_rest(&mut client).await;
    assert!(answer.ends_with("0\r\n\r\n"), "an answer that moves is finished: {answer}");
    assert_eq!(answer.matches("1\r\nx\r\n").count(), 10);
}

#[tokio::test]
async fn connections_that_come_and_go_leave_nothing() {
    let tasks = Tasks::new();
    for n in 0..300 {
        let mut client = connect(&tasks, Settings::default(), echo);
        if n % 3 > 0 {
            client.write_all(&GET[..GET.len() - n % 3 + 1]).await.unwrap();
        }
        if n % 3 == 1 {
            read_answer(&mut client).await;
        }
    }
    tasks.empty().await;
    assert_eq!(tasks.live(), 0);
}

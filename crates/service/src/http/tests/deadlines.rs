//! Clients that are slow, silent, or take nothing.

use super::*;
use tokio::time::Instant;

async fn never(_request: Request<Body>, _facts: RequestFacts) -> Response<Body> {
    std::future::pending().await
}

/// Waits until the server has closed and its tasks are gone, and tells the seconds.
async fn seconds_until_cut(tasks: &Tasks, since: Instant) -> u64 {
    tasks.empty().await;
    since.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_cut_before_its_first_head() {
    let tasks = Tasks::new();
    let start = Instant::now();
    let _client = connect(&tasks, Settings::default(), echo);
    assert_eq!(seconds_until_cut(&tasks, start).await, 30);
}

#[tokio::test(start_paused = true)]
async fn a_trickled_head_is_cut() {
    for preface in
        [b"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".as_slice(), b"PRI * HTTP/2.0\r\n\r\nSM"]
    {
        let tasks = Tasks::new();
        let mut client = connect(&tasks, Settings::default(), echo);
        let start = Instant::now();
        let trickle = async {
            for byte in preface {
                client.write_all(&[*byte]).await.ok();
                tokio::time::sleep(Duration::from_millis(1_300)).await;
            }
            std::future::pending::<()>().await
        };
        tokio::select! {
            () = trickle => unreachable!("the trickle waits for ever"),
            seconds = seconds_until_cut(&tasks, start) => assert_eq!(seconds, 30),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_cut_and_each_request_extends_it() {
    let tasks = Tasks::new();
    let start = Instant::now();
    let mut client = connect(&tasks, Settings::default(), echo);
    for _ in 0..3 {
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        read_answer(&mut client).await;
        tokio::time::sleep(Duration::from_secs(50)).await;
    }
    assert_eq!(seconds_until_cut(&tasks, start).await, 160, "sixty seconds after the last answer");
}

#[tokio::test(start_paused = true)]
async fn a_second_head_may_not_dawdle_either() {
    let tasks = Tasks::new();
    let start = Instant::now();
    let mut client = connect(&tasks, Settings::default(), echo);
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    read_answer(&mut client).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.write_all(b"GE").await.unwrap();
    assert_eq!(seconds_until_cut(&tasks, start).await, 35);
}

#[tokio::test(start_paused = true)]
async fn our_own_slowness_is_not_the_clients() {
    let tasks = Tasks::new();
    let mut client = connect(&tasks, Settings::default(), never);
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let hour = Duration::from_secs(3_600);
    assert!(tokio::time::timeout(hour, tasks.empty()).await.is_err(), "a waiting client is never cut");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_cut() {
    let tasks = Tasks::new();
    let mut client = connect(&tasks, Settings::default(), |request: Request<Body>, _| async move {
        let status = match request.into_body().collect(1 << 20).await {
            Err(BodyError::TooSlow) => 408,
            other => panic!("{other:?}"),
        };
        Response::builder().status(status).body(Body::empty()).unwrap()
    });
    let start = Instant::now();
    client.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\nabc").await.unwrap();
    let (head, _) = read_answer(&mut client).await;
    assert!(head.starts_with("http/1.1 408"), "{head}");
    assert_eq!(start.elapsed().as_secs(), 30);
    drop(client);
    tasks.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_cut_and_the_source_dropped() {
    let tasks = Tasks::new();
    let (alive, dropped) = tokio::sync::oneshot::channel::<()>();
    let alive = std::sync::Mutex::new(Some(alive));
    let mut client = connect(&tasks, Settings::default(), move |_, _| {
        let alive = alive.lock().unwrap().take();
        async move {
            Response::new(Body::produce(|mut writer| async move {
                let _alive = alive;
                loop {
                    writer.write_all(&[b'x'; 1 << 16]).await?;
                }
            }))
        }
    });
    let start = Instant::now();
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    assert!(dropped.await.is_err());
    assert_eq!(seconds_until_cut(&tasks, start).await, 60);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_too_little_is_cut() {
    let tasks = Tasks::new();
    let patience = Patience { min_rate: 1 << 20, window: Duration::from_secs(10), ..Patience::default() };
    let settings = Settings { patience, ..Settings::default() };
    let mut client = connect(&tasks, settings, |_, _| async {
        Response::new(Body::produce(|mut writer| async move {
            loop {
                writer.write_all(&[b'x'; 1 << 16]).await?;
            }
        }))
    });
    let start = Instant::now();
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let trickle = async {
        let mut piece = vec![0; 1 << 16];
        loop {
            client.read_exact(&mut piece).await.ok();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = trickle => unreachable!("it reads for ever"),
        seconds = seconds_until_cut(&tasks, start) => assert_eq!(seconds, 10, "after a window of waiting"),
    }
}

#[tokio::test(start_paused = true)]
async fn time_in_which_the_source_is_silent_is_not_the_clients() {
    let tasks = Tasks::new();
    let patience = Patience { min_rate: 1 << 20, window: Duration::from_secs(10), ..Patience::default() };
    let settings = Settings { patience, ..Settings::default() };
    let mut client = connect(&tasks, settings, |_, _| async {
        Response::new(Body::produce(|mut writer| async move {
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                writer.write_all(b"x").await?;
            }
            Ok(())
        }))
    });
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
    let rest = read_rest(&mut client).await;
    assert!(rest.ends_with("1\r\nx\r\n0\r\n\r\n"), "{rest:?}");
}

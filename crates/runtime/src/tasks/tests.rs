//! A group counts, waits for and cuts what it spawned.

use super::*;
use std::future::pending;
use tokio::sync::oneshot;

#[tokio::test]
async fn a_task_gives_its_result() {
    let tasks = Tasks::new();
    assert_eq!(tasks.spawn("test", async { 7 }).await, Ok(7));
    tasks.empty().await;
    assert_eq!(tasks.live(), 0);
}

#[tokio::test]
async fn a_panic_is_caught_and_counted() {
    let tasks = Tasks::new();
    let before = PANICS.get(Named("test_panic")).get();
    let result = tasks.spawn("test_panic", async { panic!("odd {}", "input") }).await;
    assert_eq!(result, Err::<(), _>(Stopped::Panicked));
    assert_eq!(PANICS.get(Named("test_panic")).get(), before + 1);
    assert_eq!(LIVE.get(Named("test_panic")).get(), 0, "the gauge returns to its base");
}

#[tokio::test(start_paused = true)]
async fn drain_waits_then_cuts() {
    let tasks = Tasks::new();
    let token = tasks.cancel_token();
    tasks.spawn("test_polite", async move { token.cancelled().await });
    let child = tasks.child();
    let (gone, dropped) = oneshot::channel::<()>();
    child.spawn("test_deaf", async move {
        let _gone = gone;
        pending::<()>().await;
    });
    assert_eq!((tasks.live(), child.live()), (2, 1), "a parent counts its children's tasks");
    let drained = tasks.drain(Duration::from_secs(5)).await;
    assert_eq!(drained, Drained { finished: 1, cut: 1 });
    assert!(dropped.await.is_err(), "the deaf task's future was dropped");
    assert_eq!(tasks.spawn("test_late", async {}).await, Err(Stopped::Cut), "nothing runs after a cut");
}

#[tokio::test]
async fn what_need_not_wait_is_done_at_once() {
    let tasks = Tasks::new();
    let (told, hears) = oneshot::channel();
    tasks.run_or_spawn("test_ready", async { told.send(7).unwrap() });
    assert_eq!((hears.now_or_never(), tasks.live()), (Some(Ok(7)), 0), "no task was made");
    let before = PANICS.get(Named("test_now")).get();
    tasks.run_or_spawn("test_now", async { panic!("odd input") });
    assert_eq!((PANICS.get(Named("test_now")).get(), tasks.live()), (before + 1, 0));
}

#[tokio::test]
async fn what_waits_becomes_a_task() {
    let tasks = Tasks::new();
    let (go, waits) = oneshot::channel::<()>();
    let (told, hears) = oneshot::channel();
    tasks.run_or_spawn("test_waits", async {
        waits.await.unwrap();
        tokio::task::yield_now().await;
        told.send(7).unwrap();
    });
    assert_eq!(tasks.live(), 1);
    go.send(()).unwrap();
    assert_eq!(hears.await, Ok(7));
    tasks.run_or_spawn("test_cut", pending());
    tasks.cut().await;
    let (told, hears) = oneshot::channel::<()>();
    tasks.run_or_spawn("test_late", async { told.send(()).unwrap() });
    assert!(hears.await.is_err(), "nothing runs after a cut");
}

#[tokio::test]
async fn who_has_had_its_turn_does_no_more_at_once() {
    let tasks = Tasks::new();
    let n_live = || {
        tasks.run_or_spawn("test_turn", async {});
        tasks.live()
    };
    let at_once = (0..1_000).take_while(|_| n_live() == 0).count();
    assert!((10..1_000).contains(&at_once), "{at_once}");
    tasks.empty().await;
}

#[tokio::test]
async fn a_child_stops_alone() {
    let parent = Tasks::new();
    let child = parent.child();
    let stays = parent.spawn("test_stays", pending::<()>());
    child.spawn("test_goes", pending::<()>());
    child.cut().await;
    assert_eq!((parent.live(), stays.is_finished()), (1, false));
    parent.cut().await;
    assert_eq!(stays.await, Err(Stopped::Cut));
}

#[tokio::test]
async fn cut_on_drop_ends_the_task() {
    let tasks = Tasks::new();
    drop(tasks.spawn("test_drop", pending::<()>()).cut_on_drop());
    tasks.empty().await;
    drop(tasks.spawn("test_detached", async {}));
    tasks.empty().await;
}

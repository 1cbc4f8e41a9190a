//! Mail: what readers want, and notices that are told once.

use hakata_names::{JobId, NoticeId, RepositoryId, UserId};
use hakata_store::notices::{self, Notice};
use hakata_store::page::PageSize;
use hakata_store::readers::{self, Preference};
use hakata_store::{Digest, NoticeState, WatchLevel, on_every_engine, users, watches};

use crate::fixture::{self, Fixture};

fn notice(id: i64, user: UserId, source: &str) -> Notice {
    Notice {
        id: NoticeId::new(id),
        user,
        kind: "push".to_owned(),
        reason: "subscribed".to_owned(),
        source: source.to_owned(),
        repository: Some(RepositoryId::new(1)),
        actor: None,
        payload: "{\"é\":1}".to_owned(),
        state: NoticeState::Waiting,
        error: None,
        created_at: id * 10,
        finished_at: None,
    }
}

on_every_engine! {
    /// Choices are read back with the reader; without them a reader has every notice at once and watches nothing.
    async fn readers_come_with_their_choices(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let other = fixture::repository(&db, &ids, alice, "other").await;
        let conn = &mut db.write().await.unwrap();
        users::set_email(conn, alice, "alice@example.org").await.unwrap();
        let plain = readers::find(conn, alice, Some(tools)).await.unwrap().unwrap();
        assert_eq!((plain.level, &plain.preference), (WatchLevel::Participating, &Preference::default()));
        assert_eq!(plain.email, "alice@example.org");
        let wish = Preference { is_on: false, digest: Digest::Daily, language: "ja".to_owned() };
        for level in [WatchLevel::Ignoring, WatchLevel::Watching] {
            readers::prefer(conn, alice, &wish).await.unwrap();
            watches::set(conn, alice, tools, level).await.unwrap();
            let found = readers::find(conn, alice, Some(tools)).await.unwrap().unwrap();
            assert_eq!((found.level, &found.preference), (level, &wish));
            assert_eq!(watches::find(conn, alice, tools).await.unwrap(), Some(level));
        }
        assert_eq!(readers::find(conn, alice, Some(other)).await.unwrap().unwrap().level, WatchLevel::Participating);
        assert_eq!(watches::watchers(conn, tools).await.unwrap(), [alice]);
        assert_eq!(watches::watchers(conn, other).await.unwrap(), []);
        assert_eq!(watches::list_of_user(conn, alice).await.unwrap(), [(tools, WatchLevel::Watching)]);
        assert_eq!(readers::find(conn, UserId::new(999), None).await.unwrap(), None);
        users::set_admin(conn, alice, true).await.unwrap();
        assert_eq!(users::list_admins(conn).await.unwrap(), [alice]);
    }

    /// A user is told of one thing once, and what was sent or dropped stays so.
    async fn a_notice_is_told_once(database: TestDatabase) {
        let Fixture { db, alice, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        assert!(notices::insert(conn, &notice(1, alice, "push:1:1")).await.unwrap());
        assert!(!notices::insert(conn, &notice(2, alice, "push:1:1")).await.unwrap());
        assert!(notices::insert(conn, &notice(3, UserId::new(77), "push:1:1")).await.unwrap());
        let id = NoticeId::new(1);
        notices::note_error(conn, id, "450").await.unwrap();
        assert_eq!(notices::find(conn, id).await.unwrap().unwrap().error.as_deref(), Some("450"));
        for (to, is_done) in [(NoticeState::Failed, true), (NoticeState::Sent, true), (NoticeState::Failed, false)] {
            assert_eq!(notices::finish(conn, id, to, None, 5).await.unwrap(), is_done, "{to}");
        }
        let sent = notices::find(conn, id).await.unwrap().unwrap();
        assert_eq!((sent.state, sent.finished_at, sent.error), (NoticeState::Sent, Some(5), None));
        let listed = notices::list(conn, None, None, PageSize::new(1)).await.unwrap();
        assert_eq!((listed.rows[0].id, listed.next), (NoticeId::new(3), Some(NoticeId::new(3))));
        let sent = notices::list(conn, Some(NoticeState::Sent), None, PageSize::MAX).await.unwrap();
        assert_eq!(sent.rows.len(), 1);
        assert_eq!(notices::prune(conn, 30).await.unwrap(), 1);
        assert!(notices::find(conn, id).await.unwrap().is_none());
    }

    /// A digest that runs again tells of what it told of before, however much came meanwhile.
    async fn a_batch_does_not_grow(database: TestDatabase) {
        let Fixture { db, alice, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        let held = |id, user| Notice { state: NoticeState::Held, ..notice(id, user, &format!("push:1:{id}")) };
        for id in 1..=3 {
            notices::insert(conn, &held(id, alice)).await.unwrap();
        }
        notices::insert(conn, &held(4, UserId::new(77))).await.unwrap();
        notices::insert(conn, &notice(5, alice, "push:1:5")).await.unwrap();
        let ids = |listed: Vec<Notice>| listed.iter().map(|notice| notice.id.get()).collect::<Vec<_>>();
        let (first, second) = (JobId::new(1), JobId::new(2));
        assert_eq!(ids(notices::fill_batch(conn, alice, first, 2).await.unwrap()), [1, 2]);
        notices::insert(conn, &held(6, alice)).await.unwrap();
        assert_eq!(ids(notices::fill_batch(conn, alice, first, 2).await.unwrap()), [1, 2]);
        notices::finish(conn, NoticeId::new(1), NoticeState::Sent, None, 9).await.unwrap();
        assert_eq!(ids(notices::fill_batch(conn, alice, first, 2).await.unwrap()), [2]);
        assert!(notices::has_held(conn, alice).await.unwrap());
        assert_eq!(ids(notices::fill_batch(conn, alice, second, 9).await.unwrap()), [3, 6]);
        assert!(!notices::has_held(conn, alice).await.unwrap());
    }

    /// Nothing of a user or a repository is left behind.
    async fn choices_go_with_whom_they_are_of(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let bob = fixture::user(&db, &ids, "bob").await;
        let conn = &mut db.write().await.unwrap();
        for user in [alice, bob] {
            watches::set(conn, user, tools, WatchLevel::Watching).await.unwrap();
        }
        readers::prefer(conn, bob, &Preference::default()).await.unwrap();
        notices::insert(conn, &notice(1, bob, "push:1:1")).await.unwrap();
        assert!(users::delete(conn, bob).await.unwrap());
        assert_eq!(watches::watchers(conn, tools).await.unwrap(), [alice]);
        assert!(notices::find(conn, NoticeId::new(1)).await.unwrap().is_none());
    }
}

//! From what happens to letters in a folder, on a whole forge.

mod mailed;

use std::time::Duration;

use hakata_store::{NoticeState, on_every_engine};
use serde_json::json;

use self::mailed::{Mailed, field, link};
use crate::jobs::{Kind, Outcome};
use crate::mail::Way;

on_every_engine! {
    /// Who watches is told of each push once, in one thread; who pushed and who does not watch is not.
    async fn watchers_are_told_of_each_push_once(database: TestDatabase) {
        let mailed = Mailed::start(database, Way::File).await;
        mailed.watch("bob", "watching").await;
        mailed.watch("alice", "watching").await;
        let dir = mailed.world.work_tree("w");
        for n in 0..3 {
            mailed.push(&dir, &format!("c{n}")).await;
        }
        futures_util::future::join_all((0..4).map(|_| mailed.fan_out())).await;
        assert_eq!(mailed.work().await, vec![Outcome::Finish; 3]);
        let letters = mailed.letters("bob");
        assert_eq!((letters.len(), mailed.letters("alice").len()), (3, 0));
        assert_eq!(field(&letters[2], "Subject").unwrap(), "[alice/tools] alice pushed 1 commit to main");
        assert_eq!(field(&letters[0], "Subject").unwrap(), "[alice/tools] alice created main");
        assert!(letters[2].contains("c2 (Test)") && letters[2].contains("because you watch alice/tools"), "{}", letters[2]);
        assert_eq!(field(&letters[2], "From").unwrap(), "alice <hakata@git.example.org>");
        assert_eq!(field(&letters[2], "X-Hakata-Reason").unwrap(), "subscribed");
        assert_eq!(field(&letters[2], "List-Id").unwrap(), "alice/tools <tools.alice.git.example.org>");
        let threads: Vec<_> = letters.iter().map(|letter| (field(letter, "In-Reply-To"), field(letter, "References"))).collect();
        assert!(threads.iter().all(|thread| thread.0.is_some() && thread.0 == thread.1 && *thread == threads[0]), "{threads:?}");
        assert_eq!(mailed.states().await, vec![NoticeState::Sent; 3]);
        mailed.fan_out().await;
        assert_eq!(mailed.work().await, []);
    }

    /// What was sent is not sent again, whoever runs its job again.
    async fn a_job_that_runs_again_sends_nothing(database: TestDatabase) {
        let mailed = Mailed::start(database, Way::File).await;
        mailed.watch("bob", "watching").await;
        mailed.push(&mailed.world.work_tree("w"), "c").await;
        mailed.fan_out().await;
        let queue = mailed.world.forge.job_queue("test", Duration::from_secs(60));
        let job = queue.claim(Kind::Mail, &Kind::Mail.rules(), 9, 9).await.unwrap().remove(0).job;
        let postman = mailed.postman.as_ref().unwrap();
        assert_eq!(postman.deliver(&job).await, Outcome::Finish);
        std::fs::remove_dir_all(mailed.folder.path().join("mail")).unwrap();
        assert_eq!(postman.deliver(&job).await, Outcome::Finish);
        assert_eq!(mailed.letters("bob"), Vec::<String>::new());
    }

    /// Rights and wishes are those of the moment of sending.
    async fn who_may_not_or_will_not_is_not_told(database: TestDatabase) {
        let mailed = Mailed::start(database, Way::File).await;
        let dir = mailed.world.work_tree("w");
        let away = json!({ "command": "repo", "action": "collaborator", "path": "alice/tools", "user": "bob", "role": null });
        let back = json!({ "command": "repo", "action": "collaborator", "path": "alice/tools", "user": "bob", "role": "reporter" });
        let disable = json!({ "command": "user", "action": "disable", "name": "bob" });
        let enable = json!({ "command": "user", "action": "enable", "name": "bob" });
        let wish = |notices| json!({ "command": "mail", "action": "wish", "user": "bob", "notices": notices });
        let watch = |level| json!({ "command": "mail", "action": "watch", "user": "bob", "path": "alice/tools", "level": level });
        let cases = [(away, back), (disable, enable), (wish(false), wish(true)), (watch("participating"), watch("watching"))];
        mailed.watch("bob", "watching").await;
        for (n, (before, after)) in cases.into_iter().enumerate() {
            mailed.push(&dir, &format!("c{n}")).await;
            mailed.fan_out().await;
            mailed.admin(before).await;
            assert_eq!(mailed.work().await, [Outcome::Finish]);
            mailed.admin(after).await;
        }
        assert_eq!(mailed.letters("bob"), Vec::<String>::new());
        let notices = mailed.notices().await;
        assert!(notices.iter().all(|notice| notice.state == NoticeState::Dropped && notice.error.is_some()), "{notices:?}");
        assert_eq!(notices.len(), 4);
    }

    /// The link of a letter stops the mail about its repository, that of a digest all; a forged one nothing.
    async fn one_click_is_enough(database: TestDatabase) {
        let mailed = Mailed::start(database, Way::File).await;
        mailed.watch("bob", "watching").await;
        let dir = mailed.world.work_tree("w");
        mailed.push(&dir, "c").await;
        mailed.fan_out().await;
        mailed.work().await;
        let token = link(&mailed.letters("bob")[0]);
        assert!(token.starts_with("hkt_mute_"), "{token}");
        let forge = &mailed.world.forge;
        for forged in [&token[..token.len() - 1], "hkt_mute_", "", "hkt_mute_AAAA"] {
            assert_eq!(forge.mute(forged).await.unwrap(), None, "{forged}");
        }
        let mut other = token.clone().into_bytes();
        other[14] = if other[14] == b'A' { b'B' } else { b'A' };
        assert_eq!(forge.mute(std::str::from_utf8(&other).unwrap()).await.unwrap(), None);
        assert!(!forge.read_mute_token(&token).await.unwrap().unwrap().is_all, "looking changes nothing");
        mailed.push(&dir, "d").await;
        mailed.fan_out().await;
        assert_eq!(mailed.work().await.len(), 1);
        for _ in 0..2 {
            assert!(forge.mute(&token).await.unwrap().is_some());
        }
        mailed.push(&dir, "e").await;
        mailed.fan_out().await;
        assert_eq!(mailed.work().await, []);
        mailed.watch("bob", "watching").await;
        mailed.wish("bob", json!({ "digest": "daily" })).await;
        mailed.push(&dir, "f").await;
        mailed.fan_out().await;
        mailed.world.clock.advance(Duration::from_secs(25 * 3_600));
        mailed.work().await;
        let token = link(mailed.letters("bob").iter().find(|letter| letter.contains("Subject: [Hakata] 1 notice")).unwrap());
        assert!(forge.mute(&token).await.unwrap().unwrap().is_all);
        assert!(!forge.mail_wishes(&crate::testing::name("bob")).await.unwrap().preference.is_on);
    }

    /// A digest comes once, an hour after the first of what it tells of, and again for what comes later.
    async fn a_digest_tells_of_all_at_once(database: TestDatabase) {
        let mailed = Mailed::start(database, Way::File).await;
        mailed.watch("bob", "watching").await;
        mailed.wish("bob", json!({ "digest": "hourly", "language": "ja" })).await;
        let dir = mailed.world.work_tree("w");
        for n in 0..3 {
            mailed.push(&dir, &format!("c{n}")).await;
            mailed.fan_out().await;
            assert_eq!(mailed.work().await, [], "it waits for more");
            mailed.world.clock.advance(Duration::from_secs(19 * 60));
        }
        assert_eq!(mailed.states().await, vec![NoticeState::Held; 3]);
        mailed.world.clock.advance(Duration::from_secs(4 * 60));
        assert_eq!(mailed.work().await, [Outcome::Finish]);
        let letters = mailed.letters("bob");
        assert_eq!(letters.len(), 1);
        assert!(field(&letters[0], "Subject").unwrap().starts_with("[Hakata] 3 =?utf-8?b?"), "{}", letters[0]);
        assert_eq!(field(&letters[0], "X-Hakata-Reason").unwrap(), "digest");
        assert_eq!(mailed.states().await, vec![NoticeState::Sent; 3]);
        mailed.push(&dir, "later").await;
        mailed.fan_out().await;
        mailed.world.clock.advance(Duration::from_secs(3_600 + 1));
        assert_eq!(mailed.work().await, [Outcome::Finish]);
        assert_eq!(mailed.letters("bob").len(), 2);
        // What is about the account does not wait.
        mailed.admin(json!({ "command": "user", "action": "password", "name": "bob", "password": "correct horse" })).await;
        assert_eq!(mailed.work().await, [Outcome::Finish]);
        assert_eq!(mailed.letters("bob").len(), 3);
    }

    /// People hear of what becomes of their accounts, also when they want no other mail.
    async fn accounts_are_watched_over(database: TestDatabase) {
        let mailed = Mailed::start(database, Way::File).await;
        mailed.wish("bob", json!({ "notices": false })).await;
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl bob";
        for command in [
            json!({ "command": "user", "action": "password", "name": "bob", "password": "correct horse" }),
            json!({ "command": "user", "action": "password", "name": "bob", "password": null }),
            json!({ "command": "key", "action": "add", "owner": { "user": "bob" }, "line": key, "title": "laptop\r\nBcc: eve" }),
            json!({ "command": "token", "action": "new", "user": "bob", "scopes": "repo:read", "name": "ci" }),
            json!({ "command": "mail", "action": "wish", "user": "bob", "address": "new@example.org" }),
        ] {
            mailed.admin(command).await;
            assert_eq!(mailed.work().await, [Outcome::Finish]);
        }
        let letters = mailed.letters("bob");
        assert_eq!((letters.len(), mailed.letters("new").len()), (5, 0), "the last goes where mail went before");
        for (words, n) in [("password was changed", 1), ("password was removed", 1), ("An SSH key was added", 1), ("another address", 1), ("ci (repo:read)", 1)] {
            let found = letters.iter().filter(|letter| letter.contains(words)).count();
            assert_eq!(found, n, "{words}");
        }
        assert!(letters.iter().all(|letter| field(letter, "List-Unsubscribe").is_none() && !letter.contains("\r\nBcc")));
        mailed.admin(json!({ "command": "mail", "action": "wish", "user": "bob", "digest": "off" })).await;
        assert_eq!(mailed.work().await, [], "a digest is no matter of security");
    }

    /// Owners hear of quotas and of what becomes of their repositories, watchers of the latter too.
    async fn owners_hear_what_becomes_of_their_own(database: TestDatabase) {
        let mailed = Mailed::start(database, Way::File).await;
        mailed.watch("bob", "watching").await;
        let dir = mailed.world.work_tree("w");
        mailed.push(&dir, "c").await;
        mailed.fan_out().await;
        mailed.work().await;
        mailed.admin(json!({ "command": "repo", "action": "quota", "path": "alice/tools", "quota": "10B" })).await;
        for _ in 0..2 {
            mailed.world.forge.recount_usage(mailed.repository().await).await.unwrap();
        }
        assert_eq!(mailed.work().await, [Outcome::Finish], "once for each level");
        let letters = mailed.letters("alice");
        assert_eq!(field(&letters[0], "Subject").unwrap(), "[alice/tools] The quota of the repository is used up to 100 %");
        assert!(letters[0].contains("of 10 B are used."), "{}", letters[0]);
        mailed.admin(json!({ "command": "repo", "action": "rename", "path": "alice/tools", "to": "alice/things" })).await;
        mailed.admin(json!({ "command": "repo", "action": "delete", "path": "alice/things" })).await;
        assert_eq!(mailed.work().await.len(), 4, "owner and watcher hear of both");
        let letters = mailed.letters("bob");
        for words in ["system moved the repository alice/tools to alice/things", "system deleted the repository alice/things"] {
            assert_eq!(letters.iter().filter(|letter| letter.contains(words)).count(), 1, "{words}");
        }
    }

    /// Where mail is off, nothing is recorded for it: nothing waits that nobody would send.
    async fn no_mail_is_no_rows(database: TestDatabase) {
        let mailed = Mailed::start(database, Way::Off).await;
        mailed.watch("bob", "watching").await;
        mailed.push(&mailed.world.work_tree("w"), "c").await;
        mailed.fan_out().await;
        mailed.admin(json!({ "command": "user", "action": "password", "name": "bob", "password": "correct horse" })).await;
        assert_eq!(mailed.notices().await, []);
        assert!(mailed.postman.is_none());
        let queue = mailed.world.forge.job_queue("test", Duration::from_secs(60));
        assert!(queue.claim(Kind::Mail, &Kind::Mail.rules(), 9, 9).await.unwrap().is_empty());
    }
}

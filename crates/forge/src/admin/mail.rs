//! `hakata mail …`, `hakata user mail` and `hakata user watch`.

use hakata_names::RepositoryPath;
use hakata_store::WatchLevel;
use hakata_store::notices::Notice;

use super::accounts::done;
use super::mail_command::LanguageWish;
use super::{Cell, MailCommand, Outcome, Row, Table};
use crate::mail::{Wished, Wishes};
use crate::{Actor, Error, Forge};

pub(super) async fn run(forge: &Forge, actor: &Actor, command: MailCommand) -> Result<Outcome, Error> {
    match command {
        MailCommand::Test { address } => {
            let answer = forge.send_test_letter(&address).await?;
            Ok(done(format!("sent a letter to {address}: {answer}"), None))
        }
        MailCommand::List { state, limit } => {
            Ok(Outcome::List(notice_table(&forge.list_notices(state, usize::from(limit)).await?)))
        }
        MailCommand::Wish { user, address, notices: is_on, digest, language } => {
            let language = language.map(|wish| match wish {
                LanguageWish::Default => None,
                LanguageWish::One(language) => Some(language),
            });
            let wishes = Wishes { address, is_on, digest, language };
            let wished = match wishes.is_empty() {
                true => forge.mail_wishes(&user).await?,
                false => forge.wish_mail(actor, &user, wishes).await?,
            };
            Ok(Outcome::One(wished_row(&wished)))
        }
        MailCommand::Watch { user, path, level } => {
            forge.watch(actor, &user, &path, level).await?;
            Ok(done(format!("{path}: {user} is {level} from now on"), None))
        }
        MailCommand::Watches { user } => Ok(Outcome::List(watch_table(&forge.list_watches(&user).await?))),
    }
}

fn wished_row(wished: &Wished) -> Row {
    let absent_if_empty = |text: &str| if text.is_empty() { Cell::Absent } else { Cell::text(text) };
    Row::default()
        .with("address", absent_if_empty(&wished.address))
        .with("notices", Cell::Flag(wished.preference.is_on))
        .with("digest", Cell::text(wished.preference.digest))
        .with("language", absent_if_empty(&wished.preference.language))
}

fn watch_table(watches: &[(RepositoryPath, WatchLevel)]) -> Table {
    let rows = watches.iter().map(|(path, level)| {
        Row::default().with("repository", Cell::text(path)).with("level", Cell::text(level))
    });
    Table::of_rows(&["repository", "level"], rows)
}

fn notice_table(notices: &[(Notice, String)]) -> Table {
    let columns = ["id", "user", "kind", "reason", "source", "state", "error", "created_at", "finished_at"];
    let rows = notices.iter().map(|(notice, user)| {
        Row::default()
            .with("id", Cell::text(notice.id))
            .with("user", Cell::text(user))
            .with("kind", Cell::text(&notice.kind))
            .with("reason", Cell::text(&notice.reason))
            .with("source", Cell::text(&notice.source))
            .with("state", Cell::text(notice.state))
            .with("error", notice.error.as_ref().map_or(Cell::Absent, Cell::text))
            .with("created_at", Cell::Time(notice.created_at))
            .with("finished_at", Cell::time(notice.finished_at))
    });
    Table::of_rows(&columns, rows)
}

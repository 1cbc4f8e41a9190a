//! `hakata id`: the id server without anything else; it needs no git and no database.

use super::Ids;
use crate::cli::{IdArgs, IdCommand, Place};
use crate::compose;
use crate::config::{Layers, Settings};
use crate::data_dir::{Addresses, DataDir, ReadyFile};
use crate::output::{self, Answer, Failure, Format, note};
use crate::serve::handed_over::HandedOver;
use crate::serve::{AFTERWARDS, announce_drain, arm, listeners, reload};
use hakata_id::{Layout, dump};
use hakata_runtime::tasks::Tasks;
use hakata_service::health::Health;
use hakata_service::listener::{Address, Connections};
use hakata_service::shutdown::{Shutdown, Signals};
use hakata_service::{log::Log, process};
use serde_json::json;
use std::path::PathBuf;

/// Where it listens if nothing says another place: the port of katsubushi, for this machine alone.
const ADDRESS: &str = "127.0.0.1:11212";

/// What is decided before the runtime starts.
struct Start {
    settings: Settings,
    layers: Layers,
    dir: DataDir,
    ready_file: Option<PathBuf>,
    format: Format,
    place: Place,
    args: IdArgs,
}

/// Serves ids until a signal, or does what else is asked for.
pub(crate) fn run(args: &IdArgs, place: &Place) -> Result<Answer, Failure> {
    if let Some(IdCommand::Dump { ids, js_safe }) = &args.command {
        return explain(ids, if *js_safe { Layout::JsSafe } else { Layout::Standard });
    }
    arm(args.fault.as_deref())?;
    let layers = Layers::read(place, &args.settings())?;
    let dir = DataDir::open_or_create(layers.data()).map_err(|error| {
        Failure::failed(format!("opening the data directory {}", layers.data().display()), &error)
    })?;
    let mut settings = layers.settings(dir.path());
    if layers.is_default("id.address") && settings.id.listen.socket.is_none() {
        settings.id.listen.address = ADDRESS.parse::<Address>().ok();
    }
    let log = compose::start_log(&settings.log)?;
    if args.wants_profiles() {
        note("no profiles are served; metrics and health are on admin.address");
    }
    compose::register_metrics();
    let runtime = compose::runtime(&settings.server)?;
    let format = if place.json { Format::Json } else { Format::Text };
    let (ready_file, args, place) = (args.ready_file.clone(), args.clone(), place.clone());
    let start = Start { settings, layers, dir, ready_file, format, place, args };
    let served = runtime.block_on(serve(start, &log));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    served
}

async fn serve(start: Start, log: &Log) -> Result<Answer, Failure> {
    let Start { settings, layers, dir, ready_file, format, place, args } = start;
    let signals = Signals::listen().map_err(|error| Failure::failed("listening for signals", &error))?;
    process::raise_descriptor_limit();
    let (faces, engines) = (Tasks::new(), Tasks::new());
    let shutdown = Shutdown::new(faces.clone(), settings.server.drain);
    let db = match settings.id.leases_in_database {
        true => Some(compose::open_database(&settings.database).await?),
        false => None,
    };
    let mut handed_over = HandedOver::receive()?;
    let ids = Ids::bind(&settings, &dir, db.as_ref(), &mut handed_over)?
        .ok_or_else(|| Failure::usage("every listener for ids is off").with_hint("set id.address"))?;
    let own = Connections::new(settings.connections.clone());
    let admin = listeners::bind_admin(&settings.listen, handed_over.take("admin"), &settings, &own)?;
    handed_over.end()?;
    let mut addresses = Addresses {
        admin: admin.as_ref().map(|admin| admin.local_address().to_string()),
        ..Addresses::default()
    };
    ids.tell(&mut addresses);
    let greeting = greeting(&settings, &addresses, &ids.source());
    let running = ids.serve(&settings, &faces, &engines).await;
    if let Some(admin) = admin {
        let health = running.ready_with(Health::new(shutdown.clone()));
        listeners::serve_admin(admin, health, &settings, &engines);
    }
    let ready = ready_file.as_deref().map(|path| ReadyFile::write(path, &addresses)).transpose();
    let ready = ready.map_err(|error| Failure::failed("writing the ready file", &error))?;
    output::print(&Answer::Text(greeting, json!({ "listening": addresses })), format)
        .map_err(|error| Failure::failed("writing to standard output", &error))?;
    shutdown.on_reload(move || reload::reload(&layers, &place, &args.settings()));
    let drain = settings.server.drain;
    let drained = tokio::join!(shutdown.run(signals), announce_drain(&shutdown, &faces, drain)).0;
    drop(ready);
    running.stop().await;
    if let Some(db) = db {
        db.close().await;
    }
    engines.drain(AFTERWARDS).await;
    log.flush();
    note(&match drained.cut {
        0 => "stopped: everything was finished".to_owned(),
        n => format!("stopped: {n} cut"),
    });
    Ok(Answer::Silent)
}

fn greeting(settings: &Settings, addresses: &Addresses, source: &str) -> String {
    let shown = |address: &Option<String>| address.clone().unwrap_or_else(|| "off".to_owned());
    let Addresses { id, id_http, id_grpc, admin, .. } = addresses;
    format!(
        "hakata {} serves ids  data {}\n  memcached  {}   http  {}   grpc  {}   metrics  {}\n  worker id  {source}   \
         layout  {}",
        env!("CARGO_PKG_VERSION"),
        settings.server.data.display(),
        shown(id),
        shown(id_http),
        shown(id_grpc),
        shown(admin),
        settings.id.layout.as_str(),
    )
}

/// Says what ids are made of, up to the first that is none.
fn explain(ids: &[String], layout: Layout) -> Result<Answer, Failure> {
    if ids.is_empty() {
        return Err(
            Failure::new(output::Exit::Failed, "usage", "no id is given").with_hint("hakata id dump ID…")
        );
    }
    let mut lines = String::new();
    for text in ids {
        let id = text.parse::<u64>().map_err(|_| not_an_id(text, "is not a number"))?;
        let parts = dump::dump(layout, id).map_err(|error| not_an_id(text, &error.to_string()))?;
        lines.push_str(&format!("{parts}\n"));
    }
    Ok(Answer::Raw(lines))
}

fn not_an_id(text: &str, why: &str) -> Failure {
    Failure::new(output::Exit::Failed, "not_an_id", format!("{text:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_explained_or_refused() {
        let explained = explain(&["354101311794212865".to_owned()], Layout::Standard).unwrap();
        let Answer::Raw(line) = explained else { panic!("lines are printed as they are") };
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&object["worker_id"], &object["sequence"]), (&json!(999), &json!(1)));
        for ids in [vec![], vec!["x"], vec!["1", "-1"], vec!["18446744073709551615"]] {
            let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
            assert_eq!(explain(&ids, Layout::Standard).unwrap_err().exit, output::Exit::Failed, "{ids:?}");
        }
    }
}

//! Hakata's program: command line, configuration, composition, running, and the admin socket. It decides nothing itself.

mod admin_socket;
mod administer;
mod cli;
mod compose;
mod config;
mod data_dir;
mod id_lease;
mod output;
mod reference;
mod rpc_call;
mod rpc_client;
mod serve;

use clap::Parser;
use cli::{Cli, Command, Place};
use hakata_forge::admin;
use output::{Answer, Failure, Format};
use serve::Service;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(cli::with_two_hyphens(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return misread(&error),
    };
    let format = if cli.place.json { Format::Json } else { Format::Text };
    match run(cli.command, &cli.place) {
        Ok(answer) => match output::print(&answer, format) {
            Ok(()) if answer.is_success() => ExitCode::SUCCESS,
            Ok(()) => ExitCode::FAILURE,
            Err(error) => end(&Failure::failed("writing the answer", &error), format),
        },
        Err(failure) => end(&failure, format),
    }
}

fn run(command: Command, place: &Place) -> Result<Answer, Failure> {
    let command = match command {
        Command::Serve(args) => return serve::run(Service::Everything, &args, place),
        Command::Http(args) => return serve::run(Service::Http, &args, place),
        Command::Ssh(args) => return serve::run(Service::Ssh, &args, place),
        Command::Lfs(args) => match args.command {
            Some(command) => command.into_command(),
            None => return serve::run(Service::Lfs, &args.serve, place),
        },
        Command::Worker(args) => return serve::run(Service::Worker, &args, place),
        Command::Bare(args) => return serve::run_bare(&args, place),
        Command::Id(args) => return serve::run_ids(&args, place),
        Command::Rpc(args) => {
            return match args.command {
                Some(cli::RpcCommand::Call(call)) => rpc_call::run(&call, place),
                None => serve::run(Service::Rpc, &args.serve, place),
            };
        }
        Command::Status => return administer::status(place),
        Command::Config(command) => return command.run(place),
        Command::Completion { shell } => return Ok(cli::completion(shell)),
        Command::Man { dir } => return cli::man(&dir),
        Command::Version => return Ok(cli::version()),
        Command::Reference { page } => return Ok(page.print()),
        Command::Warden { mark } => {
            hakata_git::watch(&mark);
            return Ok(Answer::Silent);
        }
        Command::Doctor => admin::Command::Doctor,
        Command::Hook(command) => command.into_command()?,
        Command::User(command) => command.into_command()?,
        Command::Key(command) => command.into_command()?,
        Command::Token(command) => command.into_command(),
        Command::Repo(command) => command.into_command()?,
        Command::Group(command) => command.into_command(),
        Command::Queue(command) => command.into_command(),
        Command::Mail(command) => command.into_command(),
    };
    administer::run(command, place)
}

/// Says what is wrong with a command line, or prints the help that was asked for. A line that cannot be read is asked
/// word by word whether it wanted JSON.
fn misread(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || !std::env::args_os().any(|word| word == "--json") {
        error.exit();
    }
    let text = error.to_string();
    let sentence = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let words: Vec<&str> = sentence.split_whitespace().collect();
    end(&Failure::usage(words.join(" ")).with_hint("hakata --help lists the commands"), Format::Json)
}

fn end(failure: &Failure, format: Format) -> ExitCode {
    output::print_failure(failure, format);
    failure.exit.into()
}

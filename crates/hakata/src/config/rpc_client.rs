//! The `[rpc.client]` table: whom to ask about repositories, and over which protocol.

use crate::config::raw::{Problem, Values};
use crate::config::value::Value;
use crate::output::Failure;
use hakata_rpc::{Canary, Endpoint, Route, Routes, Tls, tls};
use hakata_runtime::secret::Secret;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of the client.
#[derive(Clone, Debug)]
pub(crate) struct RpcClient {
    /// Which protocol each operation takes.
    pub(crate) routes: Routes,
    /// The server over gRPC, if any.
    grpc: Option<Endpoint>,
    /// The server over MessagePack-RPC, if any.
    msgpack: Option<Endpoint>,
    /// The ports of this configuration itself.
    own: [Option<Endpoint>; 2],
    /// Any other server.
    spare: Endpoint,
    /// The certificates for both.
    tls: Option<tls::Config>,
    /// How hard to try.
    pub(crate) client: hakata_rpc::Settings,
}

impl RpcClient {
    /// Takes the values over, which were checked.
    pub(super) fn new(values: &Values) -> Self {
        Self {
            routes: routes(values),
            grpc: endpoint(values, "rpc.client.grpc", "rpc.grpc"),
            msgpack: endpoint(values, "rpc.client.msgpack", "rpc.msgpack"),
            own: ["rpc.grpc", "rpc.msgpack"].map(|name| own(values, name)),
            spare: at(values, String::new()),
            tls: tls(values),
            client: hakata_rpc::Settings {
                deadline: values.duration("rpc.client.call_time"),
                max_attempts: small(values.count("rpc.client.tries")),
                first_pause: values.duration("rpc.client.pause"),
                max_failures: small(values.count("rpc.client.failures")),
                rest: values.duration("rpc.client.rest"),
            },
        }
    }

    /// Names the server over gRPC, with its certificates.
    ///
    /// # Errors
    /// If the certificates cannot be used.
    pub(crate) fn grpc(&self) -> Result<Option<Endpoint>, Failure> {
        self.secured(self.grpc.as_ref())
    }

    /// Names the server over MessagePack-RPC, with its certificates.
    ///
    /// # Errors
    /// If the certificates cannot be used.
    pub(crate) fn msgpack(&self) -> Result<Option<Endpoint>, Failure> {
        self.secured(self.msgpack.as_ref())
    }

    /// Asks the ports of this configuration itself, and no server elsewhere.
    pub(crate) fn of_owner(&self) -> Self {
        let [grpc, msgpack] = self.own.clone();
        Self { grpc, msgpack, ..self.clone() }
    }

    /// Asks somebody else instead, over both protocols.
    pub(crate) fn ask_at(&mut self, address: &str) {
        for endpoint in [&mut self.grpc, &mut self.msgpack] {
            let known = endpoint.take().unwrap_or_else(|| self.spare.clone());
            *endpoint = Some(Endpoint { address: address.to_owned(), ..known });
        }
    }

    /// Lists the files beside the configuration that hold what a connection needs.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let Some(tls) = &self.tls else { return Vec::new() };
        let own = tls.identity.iter().flat_map(|(certificate, key)| [certificate.clone(), key.clone()]);
        std::iter::once(tls.authority.clone()).chain(own).collect()
    }

    fn secured(&self, endpoint: Option<&Endpoint>) -> Result<Option<Endpoint>, Failure> {
        let Some(endpoint) = endpoint else { return Ok(None) };
        let loaded = self.tls.as_ref().map(Tls::load).transpose();
        let tls =
            loaded.map_err(|error| Failure::failed("loading the certificates of rpc.client", &error))?;
        Ok(Some(Endpoint { tls, ..endpoint.clone() }))
    }
}

/// Names a server, with everything but the certificates as the configuration says.
fn at(values: &Values, address: String) -> Endpoint {
    let own = || values.get("rpc.tokens").text().split(',').map(str::trim).find(|token| !token.is_empty());
    let token = values.some_text("rpc.client.token").or_else(own);
    Endpoint {
        address,
        token: token.map(|token| Secret::new(token.to_owned())),
        tls: None,
        connect_timeout: values.duration("rpc.client.connect_timeout"),
        keepalive: values.duration("rpc.client.keepalive"),
        n_connections: values.count("rpc.client.connections"),
        max_answer_bytes: usize::try_from(values.bytes("rpc.client.answer")).unwrap_or(usize::MAX),
    }
}

fn tls(values: &Values) -> Option<tls::Config> {
    let path = |name| values.some_text(name).map(PathBuf::from);
    Some(tls::Config {
        authority: path("rpc.client.tls_authority")?,
        identity: path("rpc.client.tls_certificate").zip(path("rpc.client.tls_key")),
        name: values.some_text("rpc.client.tls_name").map(str::to_owned),
    })
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn endpoint(values: &Values, name: &'static str, own: &'static str) -> Option<Endpoint> {
    values.some_text(name).map(|address| at(values, address.to_owned())).or_else(|| self::own(values, own))
}

fn own(values: &Values, name: &'static str) -> Option<Endpoint> {
    let address = values.address(name)?.tcp().filter(|own| own.port() != 0)?;
    Some(at(values, address.to_string()))
}

fn routes(values: &Values) -> Routes {
    let table = |name| match values.get(name) {
        Value::Routes(routes) => routes.clone(),
        _ => BTreeMap::new(),
    };
    let canary: BTreeMap<String, Canary> = match values.get("rpc.client.canary") {
        Value::Canaries(canaries) => canaries.clone(),
        _ => BTreeMap::new(),
    };
    Routes {
        default: values.get("rpc.client.default").text().parse().unwrap_or(Route::Local),
        routes: table("rpc.client.routes"),
        shadow: table("rpc.client.shadow"),
        canary,
        fallback: table("rpc.client.fallback"),
    }
}

/// Checks routes and addresses; each problem with the line of its entry.
pub(super) fn check(values: &Values, problems: &mut Vec<Problem>) {
    let client = RpcClient::new(values);
    let mut configured = vec![Route::Local];
    configured.extend(client.grpc.as_ref().map(|_| Route::Grpc));
    configured.extend(client.msgpack.as_ref().map(|_| Route::Msgpack));
    for problem in client.routes.problems(&configured) {
        let (table, name) = problem.place();
        let key = match table {
            "default" => "rpc.client.default",
            "routes" => "rpc.client.routes",
            "shadow" => "rpc.client.shadow",
            "fallback" => "rpc.client.fallback",
            _ => "rpc.client.canary",
        };
        let message = match &problem {
            hakata_rpc::RoutesError::Unconfigured { route, .. } => {
                format!("{problem}: set rpc.client.{route}, the address of the server")
            }
            _ => problem.to_string(),
        };
        let message = format!("rpc.client.{message}{}", near(&problem));
        problems.push(Problem { origin: values.entry_origin(key, name).clone(), message });
    }
    for name in ["rpc.client.grpc", "rpc.client.msgpack"] {
        if let Some(address) = values.some_text(name).filter(|address| !is_address(address)) {
            let message = format!("{name}: {address:?} is not HOST:PORT");
            problems.push(Problem { origin: values.origin(name).clone(), message });
        }
    }
    check_tls(values, problems);
    for name in ["rpc.client.connect_timeout", "rpc.client.keepalive", "rpc.client.call_time"] {
        if values.duration(name) < Duration::from_millis(1) {
            let message = format!("{name}: must be at least 1ms");
            problems.push(Problem { origin: values.origin(name).clone(), message });
        }
    }
}

/// Checks that certificates are whole, and that no token crosses a network in the clear.
fn check_tls(values: &Values, problems: &mut Vec<Problem>) {
    let mut refuse = |name: &'static str, what: String| {
        let origin = values.origin(name).clone();
        problems.push(Problem { origin, message: format!("{name}: {what}") });
    };
    let [authority, certificate, key, name] = [
        "rpc.client.tls_authority",
        "rpc.client.tls_certificate",
        "rpc.client.tls_key",
        "rpc.client.tls_name",
    ];
    for (one, other) in [(certificate, key), (key, certificate), (certificate, authority), (name, authority)]
    {
        if values.some_text(one).is_some() && values.some_text(other).is_none() {
            refuse(one, format!("needs {other}"));
        }
    }
    let is_clear = values.some_text(authority).is_none();
    if !is_clear || *values.get("rpc.require_tls") == Value::Flag(false) {
        return;
    }
    for name in ["rpc.client.grpc", "rpc.client.msgpack"] {
        if let Some(address) =
            values.some_text(name).filter(|address| is_address(address) && !is_near(address))
        {
            let what = "is not on this machine, and the token would cross the network in the clear: \
                set rpc.client.tls_authority, or rpc.require_tls = false for a network that nobody else is on";
            refuse(name, format!("{address} {what}"));
        }
    }
}

/// Whether an address is on this machine.
fn is_near(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let ip: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    host == "localhost" || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Names the operation or service that a slip of the pen may have meant.
fn near(problem: &hakata_rpc::RoutesError) -> String {
    let hakata_rpc::RoutesError::Unknown { name, .. } = problem else { return String::new() };
    let all = hakata_rpc::Operation::ALL;
    let names = all.iter().flat_map(|operation| [operation.key(), operation.service(), operation.method()]);
    let near = crate::config::raw::nearest(name, names.filter(|near| near != name));
    near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"))
}

fn is_address(text: &str) -> bool {
    let port =
        |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    text.rsplit_once(':').is_some_and(port) && !text.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::{Setting, Sources};

    fn problems(text: &str, flags: &[(&str, &str)]) -> Vec<String> {
        let flag = |(key, value): &(&str, &str)| Setting {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            flag: "--set",
        };
        let flags = flags.iter().map(flag).collect();
        let file = Some(("h.toml".into(), text.to_owned()));
        let read = Values::read(&Sources { file, flags, ..Sources::default() });
        let mut problems = Vec::new();
        match read {
            Ok(values) => check(&values, &mut problems),
            Err(wrong) => problems = wrong,
        }
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn routes_are_written_as_tables_of_any_form() {
        let text = "[rpc.client]\ndefault = \"grpc\"\ngrpc = \"localhost:1\"\nmsgpack = \"[::1]:2\"\n\
            routes = { diff = \"msgpack\", ref.list_tags = \"local\", \"ref.get_ref\" = \"msgpack\" }\n\
            [rpc.client.shadow]\nref = \"msgpack\"\n[rpc.client.canary]\ncommit.get = { to = \"local\", percent = 5 }\n";
        assert_eq!(problems(text, &[]), Vec::<String>::new());
        let sources = Sources { file: Some(("h.toml".into(), text.to_owned())), ..Sources::default() };
        let client = RpcClient::new(&Values::read(&sources).unwrap());
        let names: Vec<_> = client.routes.routes.iter().map(|(name, to)| format!("{name} {to}")).collect();
        assert_eq!(names, ["diff msgpack", "ref.get_ref msgpack", "ref.list_tags local"]);
        assert_eq!(client.routes.canary["commit.get"], Canary { to: Route::Local, percent: 5 });
        assert_eq!(client.grpc.unwrap().address, "localhost:1");
    }

    #[test]
    fn every_wrong_entry_is_told_with_its_line() {
        let text = "[rpc.client]\nmsgpack = \"localhost:1\"\n[rpc.client.routes]\ndif = \"msgpack\"\nblame = \"grpc\"\n\
            [rpc.client.shadow]\nupdate_refs = \"msgpack\"\n\n[rpc.client.fallback]\ncreate_branch = \"msgpack\"\n";
        assert_eq!(
            problems(text, &[("rpc.client.default", "grpc"), ("rpc.client.grpc", "")]),
            [
                "flag --set: rpc.client.default: nothing is configured for the route grpc: set rpc.client.grpc, the address of the server",
                "h.toml:5: rpc.client.routes: nothing is configured for the route grpc: set rpc.client.grpc, the address of the server",
                "h.toml:4: rpc.client.routes: there is no operation or service \"dif\", or several operations are called so (did you mean diff?)",
                "h.toml:7: rpc.client.shadow: \"update_refs\" changes repositories, and a change must not be made twice",
                "h.toml:10: rpc.client.fallback: \"create_branch\" changes repositories, and a change must not be made twice",
            ]
        );
        let text = "[rpc.client]\ngrpc = \"far\"\n[rpc.client.canary]\nref = { to = \"pigeon\", percent = 5 }\n\
            diff = { to = \"local\", percent = 101 }\nblob = 3\n[rpc.client.router]\n";
        let problems = problems(text, &[]);
        assert_eq!(problems.len(), 4, "{problems:?}");
        for wanted in [
            "h.toml:4: rpc.client.canary: ref: \"pigeon\" is no route",
            "h.toml:5: rpc.client.canary: diff: 101 percent is more than all",
            "h.toml:6: rpc.client.canary: blob: wants { to = ROUTE, percent = NUMBER }",
            "h.toml:7: unknown key rpc.client.router (did you mean rpc.client.routes?)",
        ] {
            assert!(problems.iter().any(|problem| problem.starts_with(wanted)), "{wanted}: {problems:?}");
        }
    }

    #[test]
    fn no_token_leaves_the_machine_in_the_clear() {
        let far = problems("[rpc.client]\ngrpc = \"git.example.org:1\"\nmsgpack = \"127.0.0.1:1\"\n", &[]);
        assert_eq!(far.len(), 1, "{far:?}");
        assert!(
            far[0].starts_with("h.toml:2: rpc.client.grpc: git.example.org:1 is not on this machine"),
            "{far:?}"
        );
        for flags in [&[("rpc.client.tls_authority", "ca.pem")][..], &[("rpc.require_tls", "false")]] {
            assert_eq!(problems("[rpc.client]\ngrpc = \"git.example.org:1\"\n", flags), Vec::<String>::new());
        }
        assert_eq!(problems("", &[("rpc.client.tls_certificate", "c.pem")]).len(), 2);
    }

    #[test]
    fn a_variable_takes_the_place_of_a_table() {
        let environment = vec![("HAKATA_RPC__CLIENT__ROUTES".to_owned(), "dif=local".to_owned())];
        let file = Some(("h.toml".into(), "[rpc.client.routes]\ndif = \"local\"\n".to_owned()));
        let values = Values::read(&Sources { file, environment, ..Sources::default() }).unwrap();
        let mut problems = Vec::new();
        check(&values, &mut problems);
        assert!(
            problems[0].to_string().starts_with("environment HAKATA_RPC__CLIENT__ROUTES: "),
            "{problems:?}"
        );
    }
}

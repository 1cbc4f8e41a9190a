//! Which protocol each operation takes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::v1::Operation;

/// A way to the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// A function of this process.
    Local,
    /// gRPC.
    Grpc,
    /// MessagePack-RPC.
    Msgpack,
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Local, Self::Grpc, Self::Msgpack];

    /// Returns its name in configuration files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Grpc => "grpc",
            Self::Msgpack => "msgpack",
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no such route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no route; there are local, grpc and msgpack")]
pub struct ParseRouteError(String);

impl FromStr for Route {
    type Err = ParseRouteError;

    fn from_str(name: &str) -> Result<Self, ParseRouteError> {
        let found = Self::ALL.into_iter().find(|route| route.name() == name);
        found.ok_or_else(|| ParseRouteError(name.to_owned()))
    }
}

/// A share of calls that takes another route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canary {
    /// The other route.
    pub to: Route,
    /// Of a hundred calls.
    pub percent: u8,
}

/// What a configuration file says: names of operations or services, and what goes for them. A name of an operation
/// counts more than that of its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// For what is not named.
    pub default: Route,
    /// The route of each call.
    pub routes: BTreeMap<String, Route>,
    /// A second route that answers too; the answers are compared. For readers only.
    pub shadow: BTreeMap<String, Route>,
    /// A share that takes another route.
    pub canary: BTreeMap<String, Canary>,
    /// The route after errors of the transport. For readers only.
    pub fallback: BTreeMap<String, Route>,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            default: Route::Local,
            routes: BTreeMap::new(),
            shadow: BTreeMap::new(),
            canary: BTreeMap::new(),
            fallback: BTreeMap::new(),
        }
    }
}

/// What is wrong with [`Routes`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoutesError {
    /// Nothing is called so.
    #[error("{table}: there is no operation or service {name:?}, or several operations are called so")]
    Unknown {
        /// The table of the configuration.
        table: &'static str,
        /// The name.
        name: String,
    },
    /// A change would be made twice.
    #[error("{table}: {name:?} changes repositories, and a change must not be made twice")]
    Writer {
        /// The table of the configuration.
        table: &'static str,
        /// The name.
        name: String,
    },
    /// Nobody is at the other end.
    #[error("{table}: nothing is configured for the route {route}")]
    Unconfigured {
        /// The table of the configuration, or `default`.
        table: &'static str,
        /// The name; empty for the default.
        name: String,
        /// The route.
        route: Route,
    },
    /// More than all.
    #[error("canary: {name:?} has {percent} percent")]
    Percent {
        /// The name.
        name: String,
        /// What it says.
        percent: u8,
    },
}

impl RoutesError {
    /// The table and the name that it is about; the name is empty for the default.
    pub fn place(&self) -> (&'static str, &str) {
        match self {
            Self::Unknown { table, name }
            | Self::Writer { table, name }
            | Self::Unconfigured { table, name, .. } => (table, name),
            Self::Percent { name, .. } => ("canary", name),
        }
    }
}

impl Routes {
    /// Finds everything that is wrong, if only the routes in `configured` lead anywhere.
    pub fn problems(&self, configured: &[Route]) -> Vec<RoutesError> {
        let mut problems = Vec::new();
        let mut look = |table: &'static str, name: &str, route: Route, only_readers: bool| {
            let named = || name.to_owned();
            let operations = Operation::named(name);
            if operations.is_empty() && !name.is_empty() {
                problems.push(RoutesError::Unknown { table, name: named() });
            } else if only_readers && !operations.iter().any(|operation| operation.reads()) {
                problems.push(RoutesError::Writer { table, name: named() });
            }
            if !configured.contains(&route) {
                problems.push(RoutesError::Unconfigured { table, name: named(), route });
            }
        };
        look("default", "", self.default, false);
        for (table, named, only_readers) in [
            ("routes", &self.routes, false),
            ("shadow", &self.shadow, true),
            ("fallback", &self.fallback, true),
        ] {
            named.iter().for_each(|(name, route)| look(table, name, *route, only_readers));
        }
        self.canary.iter().for_each(|(name, canary)| look("canary", name, canary.to, false));
        for (name, canary) in self.canary.iter().filter(|(_, canary)| canary.percent > 100) {
            problems.push(RoutesError::Percent { name: name.clone(), percent: canary.percent });
        }
        problems
    }

    /// Lists the routes that a call of an operation may take, the one of most calls first.
    pub fn of(&self, operation: Operation) -> Vec<Route> {
        let plan = Table::made(self).plan(operation);
        let others = [plan.canary.map(|canary| canary.to), plan.fallback, plan.shadow];
        std::iter::once(plan.route).chain(others.into_iter().flatten()).collect()
    }
}

/// What goes for one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) route: Route,
    pub(crate) shadow: Option<Route>,
    pub(crate) canary: Option<Canary>,
    pub(crate) fallback: Option<Route>,
}

/// What goes for each operation, in the order of [`Operation::ALL`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table(Vec<Plan>);

impl Table {
    /// Reads [`Routes`], of which only those in `configured` lead anywhere.
    pub(crate) fn new(routes: &Routes, configured: &[Route]) -> Result<Self, RoutesError> {
        match routes.problems(configured).into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(Self::made(routes)),
        }
    }

    fn made(routes: &Routes) -> Self {
        let plan = Plan { route: routes.default, shadow: None, canary: None, fallback: None };
        let mut table = Self(vec![plan; Operation::ALL.len()]);
        table.set(&routes.routes, |plan, route| plan.route = route);
        table.set(&routes.canary, |plan, canary| plan.canary = Some(canary));
        table.set(&routes.shadow, |plan, route| plan.shadow = Some(route));
        table.set(&routes.fallback, |plan, route| plan.fallback = Some(route));
        table.spare_writers();
        table
    }

    /// Finds what goes for an operation.
    pub(crate) fn plan(&self, operation: Operation) -> Plan {
        self.0[operation as usize]
    }

    /// Sets a part of the plans; services first, so that operations have the last word.
    fn set<T: Copy>(&mut self, named: &BTreeMap<String, T>, set: impl Fn(&mut Plan, T)) {
        let mut all: Vec<_> = named.iter().map(|(name, value)| (Operation::named(name), *value)).collect();
        all.sort_by_key(|(operations, _)| std::cmp::Reverse(operations.len()));
        for (operation, value) in all.iter().flat_map(|(all, value)| all.iter().map(move |one| (one, value)))
        {
            set(&mut self.0[*operation as usize], *value);
        }
    }

    /// A service that was named as a whole has its readers in shadow; its writers stay as they are.
    fn spare_writers(&mut self) {
        for (operation, plan) in Operation::ALL.iter().zip(&mut self.0) {
            if !operation.reads() {
                plan.shadow = None;
                plan.fallback = None;
            }
        }
    }
}

#[cfg(test)]
mod tests;

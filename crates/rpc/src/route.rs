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
        /// The table of the configuration.
        table: &'static str,
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
        let there = |table, route| match configured.contains(&route) {
            true => Ok(()),
            false => Err(RoutesError::Unconfigured { table, route }),
        };
        there("default", routes.default)?;
        let plan = Plan { route: routes.default, shadow: None, canary: None, fallback: None };
        let mut table = Self(vec![plan; Operation::ALL.len()]);
        table.set(
            "routes",
            &routes.routes,
            |plan, route| plan.route = route,
            |route| there("routes", route),
        )?;
        for (name, canary) in &routes.canary {
            if canary.percent > 100 {
                return Err(RoutesError::Percent { name: name.clone(), percent: canary.percent });
            }
        }
        let to = |canary: Canary| there("canary", canary.to);
        table.set("canary", &routes.canary, |plan, canary| plan.canary = Some(canary), to)?;
        readers("shadow", &routes.shadow)?;
        readers("fallback", &routes.fallback)?;
        let shadow = |plan: &mut Plan, route| plan.shadow = Some(route);
        table.set("shadow", &routes.shadow, shadow, |route| there("shadow", route))?;
        let fallback = |plan: &mut Plan, route| plan.fallback = Some(route);
        table.set("fallback", &routes.fallback, fallback, |route| there("fallback", route))?;
        table.spare_writers();
        Ok(table)
    }

    /// Finds what goes for an operation.
    pub(crate) fn plan(&self, operation: Operation) -> Plan {
        self.0[operation as usize]
    }

    /// Sets a part of the plans; services first, so that operations have the last word.
    fn set<T: Copy>(
        &mut self,
        table: &'static str,
        named: &BTreeMap<String, T>,
        set: impl Fn(&mut Plan, T),
        check: impl Fn(T) -> Result<(), RoutesError>,
    ) -> Result<(), RoutesError> {
        let mut all = Vec::new();
        for (name, &value) in named {
            let operations = Operation::named(name);
            if operations.is_empty() {
                return Err(RoutesError::Unknown { table, name: name.clone() });
            }
            check(value)?;
            all.push((operations, value));
        }
        all.sort_by_key(|(operations, _)| std::cmp::Reverse(operations.len()));
        for (operation, value) in all.iter().flat_map(|(all, value)| all.iter().map(move |one| (one, value)))
        {
            set(&mut self.0[*operation as usize], *value);
        }
        Ok(())
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

/// Refuses names of single writers.
fn readers(table: &'static str, named: &BTreeMap<String, Route>) -> Result<(), RoutesError> {
    let writer = |name: &&String| matches!(Operation::named(name)[..], [operation] if !operation.reads());
    match named.keys().find(writer) {
        Some(name) => Err(RoutesError::Writer { table, name: name.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;

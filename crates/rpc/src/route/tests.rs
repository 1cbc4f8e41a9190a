use std::collections::BTreeMap;

use super::{Canary, Route, Routes, RoutesError, Table};
use crate::v1::Operation;

fn named(pairs: &[(&str, Route)]) -> BTreeMap<String, Route> {
    pairs.iter().map(|(name, route)| ((*name).to_owned(), *route)).collect()
}

#[test]
fn an_operation_counts_more_than_its_service() -> Result<(), RoutesError> {
    let routes = Routes {
        routes: named(&[("ref.list_branches", Route::Msgpack), ("ref", Route::Grpc), ("blame", Route::Grpc)]),
        ..Routes::default()
    };
    let table = Table::new(&routes, &Route::ALL)?;
    assert_eq!(table.plan(Operation::RefListBranches).route, Route::Msgpack);
    assert_eq!(table.plan(Operation::RefListTags).route, Route::Grpc);
    assert_eq!(table.plan(Operation::CommitBlame).route, Route::Grpc);
    assert_eq!(table.plan(Operation::CommitGet).route, Route::Local);
    Ok(())
}

#[test]
fn names_that_mean_nothing_or_too_much_are_refused() {
    for name in ["merges", "ref.get", "get", "list"] {
        let routes = Routes { routes: named(&[(name, Route::Grpc)]), ..Routes::default() };
        let unknown = RoutesError::Unknown { table: "routes", name: name.to_owned() };
        assert_eq!(Table::new(&routes, &Route::ALL), Err(unknown));
    }
}

#[test]
fn a_change_is_never_made_twice() -> Result<(), RoutesError> {
    for (shadow, fallback) in [("update_refs", "diff"), ("diff", "ref.create_branch")] {
        let routes = Routes {
            shadow: named(&[(shadow, Route::Grpc)]),
            fallback: named(&[(fallback, Route::Grpc)]),
            ..Routes::default()
        };
        assert!(matches!(Table::new(&routes, &Route::ALL), Err(RoutesError::Writer { .. })));
    }
    let routes = Routes { shadow: named(&[("ref", Route::Grpc)]), ..Routes::default() };
    let table = Table::new(&routes, &Route::ALL)?;
    assert_eq!(table.plan(Operation::RefListTags).shadow, Some(Route::Grpc));
    assert_eq!(table.plan(Operation::RefUpdateRefs).shadow, None);
    Ok(())
}

#[test]
fn a_route_leads_somewhere() {
    let local = [Route::Local];
    let routes = Routes { routes: named(&[("diff", Route::Grpc)]), ..Routes::default() };
    let unconfigured =
        RoutesError::Unconfigured { table: "routes", name: "diff".to_owned(), route: Route::Grpc };
    assert_eq!(Table::new(&routes, &local), Err(unconfigured));
    let canary = Canary { to: Route::Local, percent: 101 };
    let routes = Routes { canary: BTreeMap::from([("diff".to_owned(), canary)]), ..Routes::default() };
    assert!(matches!(Table::new(&routes, &local), Err(RoutesError::Percent { percent: 101, .. })));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let routes = Routes {
        default: Route::Msgpack,
        routes: named(&[("merges", Route::Grpc), ("diff", Route::Local)]),
        shadow: named(&[("update_refs", Route::Local)]),
        fallback: named(&[("ref", Route::Local)]),
        canary: BTreeMap::from([("blame".to_owned(), Canary { to: Route::Local, percent: 200 })]),
    };
    let problems = routes.problems(&[Route::Local]);
    let places: Vec<_> = problems.iter().map(RoutesError::place).collect();
    let wanted = [
        ("default", ""),
        ("routes", "merges"),
        ("routes", "merges"),
        ("shadow", "update_refs"),
        ("canary", "blame"),
    ];
    assert_eq!(places, wanted, "{problems:?}");
}

#[test]
fn the_routes_of_an_operation_are_told() {
    let routes = Routes {
        default: Route::Msgpack,
        shadow: named(&[("ref", Route::Grpc)]),
        fallback: named(&[("ref.list_tags", Route::Local)]),
        ..Routes::default()
    };
    assert_eq!(routes.of(Operation::RefListTags), [Route::Msgpack, Route::Local, Route::Grpc]);
    assert_eq!(routes.of(Operation::RefUpdateRefs), [Route::Msgpack]);
}

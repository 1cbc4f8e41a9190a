//! The owners of a tree's repositories: found, named all at once when they are missing, or made.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use hakata_names::OwnerName;
use hakata_store::{OwnerState, owners};

use super::plan::Item;
use super::wish::{ImportTree, MissingOwners};
use crate::accounts::Registration;
use crate::{Actor, Error, Forge, Kind};

/// Looks up the owner of everything that is to be imported, and makes those that are missing if that is wished. Owners
/// that may not act, and in a rehearsal those that are missing, cost their repositories.
///
/// # Errors
/// [`Kind::NotFound`] naming all that are missing, when they shall not be made; nothing was done then.
pub(super) async fn settle(
    forge: &Forge,
    actor: &Actor,
    wish: &ImportTree,
    items: &mut [Item],
) -> Result<(), Error> {
    let states = look_up(forge, items).await?;
    let missing: Vec<OwnerName> =
        states.values().filter(|(_, state)| state.is_none()).map(|(name, _)| name.clone()).collect();
    let group_owner = match &wish.missing {
        MissingOwners::GroupsOf(user) => Some(forge.get_user(user).await?.id),
        MissingOwners::Refused | MissingOwners::Users => None,
    };
    let are_refused = wish.missing == MissingOwners::Refused;
    if !missing.is_empty() && are_refused && !wish.dry_run {
        let names: Vec<&str> = missing.iter().map(OwnerName::as_str).collect();
        let message = format!("there are no users or groups of these names: {}", names.join(", "));
        return Err(Error::new(Kind::NotFound, message).with_hint(
            "make them first, or add --create-users or --create-groups USER, or --owner NAME for all",
        ));
    }
    for item in items {
        let Some(path) = item.wanted() else { continue };
        let owner = &path.owner;
        match states.get(&owner.folded()).and_then(|(_, state)| *state) {
            Some(OwnerState::Active) => {}
            Some(_) => {
                let why = format!("its owner is disabled; hakata user enable {owner} undoes that");
                item.refuse(why);
            }
            None if are_refused => item.refuse(format!("there is no user or group '{owner}'")),
            None => {}
        }
    }
    if wish.dry_run {
        return Ok(());
    }
    for name in &missing {
        let made = match group_owner {
            Some(user) => forge.create_group(actor, name, user).await.map(drop),
            None => forge.add_user(actor, name, Registration::default()).await.map(drop),
        };
        // Somebody else may have made it in the meantime: that is as well.
        made.or_else(|error| if error.kind() == Kind::Conflict { Ok(()) } else { Err(error) })?;
    }
    Ok(())
}

/// Finds each owner once, by the folded name; with no state when there is none.
async fn look_up(
    forge: &Forge,
    items: &[Item],
) -> Result<BTreeMap<String, (OwnerName, Option<OwnerState>)>, Error> {
    let mut states = BTreeMap::new();
    let mut conn = forge.db().read().await?;
    for path in items.iter().filter_map(Item::wanted) {
        if let Entry::Vacant(place) = states.entry(path.owner.folded()) {
            let found = owners::find_by_name(&mut conn, &path.owner).await?;
            place.insert((path.owner.clone(), found.map(|owner| owner.state)));
        }
    }
    Ok(states)
}

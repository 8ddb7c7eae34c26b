//! Who may grant what: nobody grants a permission that he does not hold, for a project that he does not hold it for.
//!
//! What counts is what is written, not whether it takes effect today: a role that is given to a service account whose
//! namespace the Tenant does not name yet would else be granted by whoever names it.

use std::collections::BTreeMap;

use super::case::Case;
use super::rights::{Right, Rights, Scope, add, written_in};
use super::standing::{brief, enumerate};
use crate::TenantSettingsSpec;
use crate::common::Subject;
use crate::denial::{Cause, Code, Denial};

/// Refuses what a change would grant and the one who makes it may not.
pub(super) fn check(old: &TenantSettingsSpec, new: &TenantSettingsSpec, case: &Case<'_>) -> Result<(), Denial> {
    refuse_undelegated(old, new, case)?;
    let (before, after) = (everybodys(old), everybodys(new));
    for (subject, rights) in &after {
        for (right, scope) in rights {
            let had = before.get(subject).and_then(|rights| rights.get(right));
            let Some(more) = scope.beyond(had) else {
                continue;
            };
            if let Some(lacking) = more.beyond(case.standing.scope(*right).as_ref()) {
                return Err(refusal(new, subject, *right, &lacking, case));
            }
        }
    }
    Ok(())
}

/// What each subject is given, by all of its entries together.
fn everybodys(spec: &TenantSettingsSpec) -> BTreeMap<&Subject, Rights> {
    let mut all = BTreeMap::<&Subject, Rights>::new();
    for member in &spec.members {
        let rights = all.entry(&member.subject).or_default();
        for (right, scope) in written_in(member, spec) {
            add(rights, right, scope);
        }
    }
    all
}

fn refusal(new: &TenantSettingsSpec, subject: &Subject, right: Right, lacking: &Scope, case: &Case<'_>) -> Denial {
    let index = new.members.iter().position(|member| member.subject == *subject);
    let path = format!("spec.members[{}]", index.unwrap_or_default());
    let name = right.name();
    let place = match lacking {
        Scope::All => "in all projects".to_owned(),
        Scope::Only(projects) => format!("for {}", enumerate(projects.iter().map(String::as_str))),
    };
    let message = format!(
        "Nobody grants a permission that he does not hold: this would give {:?} {} the permission {name} {place} in tenant {}, which you do not hold yourself. Ask somebody who holds it, or a platform administrator.",
        subject.kind,
        brief(&subject.name),
        case.tenant
    );
    Denial::new(Code::PermissionDenied, message)
        .because(Cause::of("Permission", name))
        .because(Cause::of("Tenant", case.tenant))
        .because(Cause::field(path, "would be granted what you do not hold"))
}

/// Approving and releasing come into a role only where the Tenant delegates them, whoever writes it.
fn refuse_undelegated(old: &TenantSettingsSpec, new: &TenantSettingsSpec, case: &Case<'_>) -> Result<(), Denial> {
    if case.world.tenant.is_some_and(|tenant| tenant.spec.delegate_approval) {
        return Ok(());
    }
    for (index, role) in new.roles.iter().enumerate() {
        let before = old.roles.iter().filter(|known| known.name == role.name);
        let before: Vec<_> = before.flat_map(|known| &known.permissions).collect();
        let added = role
            .permissions
            .iter()
            .find(|permission| permission.needs_delegation() && !before.contains(permission));
        if let Some(permission) = added {
            let path = format!("spec.roles[{index}].permissions");
            let message = format!(
                "{path}: {permission:?} may stand in a role only where the Tenant says delegateApproval: true, which platform administrators write. Otherwise the platform's security group alone approves and releases."
            );
            return Err(Denial::new(Code::PermissionDenied, message)
                .because(Cause::of("Permission", format!("{permission:?}")))
                .because(Cause::of("Tenant", case.tenant))
                .because(Cause::field(path, "is not delegated")));
        }
    }
    Ok(())
}

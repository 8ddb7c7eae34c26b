//! TenantSettings: who manages the team writes members and roles, who edits settings the rest; nobody grants what he does
//! not hold, and who takes a member out confirms it.

use std::collections::BTreeSet;

use super::case::{Case, Verdict};
use super::rights::Right;
use super::standing::{brief, enumerate};
use super::{Write, confirm, grants, stamp};
use crate::common::Subject;
use crate::denial::{Cause, Code, Denial};
use crate::names::ANNOTATION_CONFIRM;
use crate::subjects::{Rules, fault};
use crate::tenant_settings::Permission;
use crate::{TenantSettings, TenantSettingsSpec};

pub(super) fn decide(write: &Write<TenantSettings>, case: &Case<'_>) -> Verdict {
    stamp::check(write, case.user)?;
    if case.standing.is_factory() {
        return Ok(Vec::new());
    }
    let nothing = TenantSettingsSpec::default();
    match write {
        Write::Create(new) => change(&nothing, &new.spec, case)?,
        Write::Update { old, new } => {
            change(&old.spec, &new.spec, case)?;
            confirm_removals(old, new, case)?;
        }
        Write::Delete(old) => {
            change(&old.spec, &nothing, case)?;
            if !case.goes_anyway() && !old.spec.members.is_empty() {
                let lost = format!(
                    "{} members lose their access, and all roles and defaults of the tenant go.",
                    old.spec.members.len()
                );
                confirm::deletion(&**old, &lost)?;
            }
        }
    }
    Ok(Vec::new())
}

fn change(old: &TenantSettingsSpec, new: &TenantSettingsSpec, case: &Case<'_>) -> Result<(), Denial> {
    if old.members != new.members || old.roles != new.roles {
        case.require(
            Right::Permission(Permission::ManageTeam),
            "change members and roles",
            None,
        )?;
        refuse_subjects(old, new, case)?;
        grants::check(old, new, case)?;
    }
    if without_team(old) != without_team(new) {
        case.require(Right::Permission(Permission::EditSettings), "edit the settings", None)?;
    }
    Ok(())
}

/// All but members and roles.
fn without_team(spec: &TenantSettingsSpec) -> TenantSettingsSpec {
    TenantSettingsSpec {
        members: Vec::new(),
        roles: Vec::new(),
        display_name: spec.display_name.clone(),
        logo_url: spec.logo_url.clone(),
        time_zone: spec.time_zone.clone(),
        language: spec.language.clone(),
        contact_email: spec.contact_email.clone(),
        support_email: spec.support_email.clone(),
        build_defaults: spec.build_defaults.clone(),
        retention: spec.retention.clone(),
    }
}

/// Nobody joins who can't be given a role. Those who are there already stay, and hold nothing.
fn refuse_subjects(old: &TenantSettingsSpec, new: &TenantSettingsSpec, case: &Case<'_>) -> Result<(), Denial> {
    let Some(tenant) = case.world.tenant else {
        return Ok(());
    };
    let rules = Rules::of(tenant);
    let known: BTreeSet<&Subject> = old.members.iter().map(|member| &member.subject).collect();
    for (index, member) in new.members.iter().enumerate() {
        if known.contains(&member.subject) {
            continue;
        }
        if let Some(why) = fault(&member.subject, &rules) {
            let path = format!("spec.members[{index}].subject");
            let message = format!(
                "{path} {:?} {} {why}. Members are users, groups that do not begin with system:, and service accounts of the tenant's namespace or of one that the Tenant names.",
                member.subject.kind,
                brief(&member.subject.name)
            );
            return Err(Denial::new(Code::InvalidObject, message).because(Cause::field(path, why)));
        }
    }
    Ok(())
}

fn confirm_removals(old: &TenantSettings, new: &TenantSettings, case: &Case<'_>) -> Result<(), Denial> {
    let stay: BTreeSet<&Subject> = new.spec.members.iter().map(|member| &member.subject).collect();
    let members = old.spec.members.iter().map(|member| &member.subject);
    let gone: BTreeSet<&str> = members
        .filter(|subject| !stay.contains(subject))
        .map(|subject| subject.name.as_str())
        .collect();
    let gone: Vec<&str> = gone.into_iter().collect();
    let missing = confirm::unconfirmed(old, new, &gone);
    if missing.is_empty() || case.goes_anyway() {
        return Ok(());
    }
    let names = enumerate(missing.iter().copied());
    let message = format!(
        "This update takes {} members out of tenant {}, who lose their access: {names}. To confirm, name each of them, comma-separated, in the annotation {ANNOTATION_CONFIRM} in the same update. A name counts only in the update that adds it: take out what stands there from earlier.",
        missing.len(),
        case.tenant
    );
    let mut denial = Denial::new(Code::ConfirmationRequired, message).because(Cause::of("Tenant", case.tenant));
    denial
        .causes
        .extend(missing.iter().take(16).map(|name| Cause::of("Member", brief(name))));
    Err(denial.because(Cause::field(
        super::stamp::path(ANNOTATION_CONFIRM),
        format!("must name {names}"),
    )))
}

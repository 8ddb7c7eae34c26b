//! The role `audit serve`, and the commands that read what it stored.

use std::io::Write;

use imagefactory_serving::logging;

use super::{StartupError, begin, runtime};
use crate::audit;
use crate::config::{AuditListArgs, AuditServeArgs, AuditVerifyArgs};

/// The role `audit serve`.
///
/// # Errors
/// When it can't begin, or must not go on.
pub fn audit(args: AuditServeArgs) -> Result<(), StartupError> {
    logging::begin(args.common.log_format);
    runtime()?.block_on(async {
        let role = begin(&args.common).await?;
        Ok(audit::serve(role, args).await?)
    })
}

/// The command `audit list`.
///
/// # Errors
/// When the database can't be read, or the output is closed.
pub fn audit_list(args: &AuditListArgs, output: &mut impl Write) -> Result<(), StartupError> {
    Ok(runtime()?.block_on(audit::list(args, output))?)
}

/// The command `audit verify`.
///
/// # Errors
/// When the chain is broken, the database can't be read, or the output is closed.
pub fn audit_verify(args: &AuditVerifyArgs, output: &mut impl Write) -> Result<(), StartupError> {
    Ok(runtime()?.block_on(audit::verify(args, output))?)
}

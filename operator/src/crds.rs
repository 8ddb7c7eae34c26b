//! The CustomResourceDefinitions as YAML, for those who install without the chart.

use std::io::Write;

/// Why they can't be printed.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// A definition can't be written as JSON.
    #[error("could not make a definition")]
    Make(#[from] serde_json::Error),
    /// A definition can't be written as YAML.
    #[error("could not write a definition as YAML")]
    Encode(#[from] serde_yaml::Error),
    /// The output is closed.
    #[error("could not write")]
    Write(#[from] std::io::Error),
}

/// Writes all definitions as one stream of YAML documents.
///
/// # Errors
/// When they can't be made or written.
pub fn print(out: &mut impl Write) -> Result<(), PrintError> {
    for (_, definition) in imagefactory_crds::crd::all()? {
        writeln!(out, "---")?;
        out.write_all(serde_yaml::to_string(&definition)?.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_a_document_of_the_stream() {
        let mut out = Vec::new();
        print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let mut kinds: Vec<_> = text
            .split("---\n")
            .skip(1)
            .map(|document| serde_yaml::from_str::<serde_json::Value>(document).unwrap())
            .map(|definition| definition["spec"]["names"]["kind"].as_str().unwrap().to_owned())
            .collect();
        kinds.sort();
        let all = [
            "Build",
            "ImagePolicy",
            "ImageScan",
            "Project",
            "QuarantineRequest",
            "SorRecord",
            "Tenant",
            "TenantSettings",
        ];
        assert_eq!(kinds, all);
    }
}

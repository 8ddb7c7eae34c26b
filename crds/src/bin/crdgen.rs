//! Writes the CustomResourceDefinitions as YAML files into the directory that is named: `crdgen charts/…/files/crds`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = PathBuf::from(std::env::args().nth(1).ok_or("usage: crdgen DIRECTORY")?);
    std::fs::create_dir_all(&directory)?;
    for (name, crd) in imagefactory_crds::crd::all()? {
        let text = format!("{}{}", imagefactory_crds::crd::HEADER, serde_yaml::to_string(&crd)?);
        std::fs::write(directory.join(name), text)?;
    }
    Ok(())
}

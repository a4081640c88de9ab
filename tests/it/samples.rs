//! Every configuration shown to users loads.

use std::path::{Path, PathBuf};

use crate::harness::{TempDir, certificate, lockgate};

fn samples() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "cfg"));
    files.sort();
    files
}

#[test]
fn every_sample_passes_check() {
    let dir = TempDir::new();
    for name in ["site", "example", "default", "www", "ops-manager"] {
        dir.write(&format!("certs/{name}.pem"), certificate(&[&format!("{name}.example")]).combined());
    }
    let ca = certificate(&["ca.example"]);
    dir.write("certs/ca.pem", ca.certificate);
    let samples = samples();
    assert!(samples.len() >= 5, "{samples:?}");
    for sample in samples {
        // Paths in samples are relative to where they are run.
        let copy = dir.path().join(sample.file_name().unwrap());
        std::fs::copy(&sample, &copy).unwrap();
        let output = lockgate().arg("check").arg("-C").arg(dir.path()).arg("-f").arg(&copy).output().unwrap();
        assert!(output.status.success(), "{}: {}", sample.display(), String::from_utf8_lossy(&output.stderr));
    }
}

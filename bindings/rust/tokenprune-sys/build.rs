//! Where the library is: `TOKENPRUNE_LIB_DIR`, else what pkg-config says.

use std::env;
use std::process::Command;

const RANGE: [&str; 2] = ["tokenprune >= 0.1", "tokenprune < 0.2"];

fn pkg_config() -> Result<Vec<String>, String> {
    let tool = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_string());
    let out = Command::new(&tool)
        .args(["--libs-only-L", "--keep-system-libs"])
        .args(RANGE)
        .output()
        .map_err(|e| format!("{tool} did not run: {e}"))?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).trim().to_string());
    }
    let text = String::from_utf8_lossy(&out.stdout).to_string();
    Ok(text.split_whitespace().filter_map(|word| word.strip_prefix("-L").map(str::to_string)).collect())
}

fn main() {
    for name in ["TOKENPRUNE_LIB_DIR", "PKG_CONFIG", "PKG_CONFIG_PATH"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    let folders = match env::var("TOKENPRUNE_LIB_DIR") {
        Ok(folder) => vec![folder],
        Err(_) => match pkg_config() {
            Ok(folders) => folders,
            Err(why) => {
                panic!("libtokenprune was not found: {why}\nset TOKENPRUNE_LIB_DIR to the folder it lies in")
            }
        },
    };
    for folder in &folders {
        println!("cargo:rustc-link-search=native={folder}");
    }
    println!("cargo:rustc-link-lib=dylib=tokenprune");
    if env::var_os("CARGO_FEATURE_MLLM").is_some() {
        println!("cargo:rustc-link-lib=dylib=tokenprune-mllm");
    }
}

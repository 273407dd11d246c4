//! Compiles the C++ shim over libtorch and tells every binary and test of this package where libtorch lies when it runs.
//! Without the feature `torch` there is nothing to do; with `doc-only` there is no libtorch to compile against.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(all(feature = "torch", not(feature = "doc-only")))]
    libtorch::build();
}

#[cfg(all(feature = "torch", not(feature = "doc-only")))]
mod libtorch {
    use std::path::Path;

    const MISSING: &str =
        "libtorch 2.11.0 not found: run make setup (or set LIBTORCH); to lint only: --features doc-only";

    pub(super) fn build() {
        // torch-sys says where it found what it links against.
        println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
        let lib = std::env::var("DEP_TCH_LIBTORCH_LIB").unwrap_or_default();
        let include = Path::new(&lib).join("../include");
        if !include.join("torch/csrc/distributed/c10d/ProcessGroupGloo.hpp").is_file() {
            eprintln!("{MISSING}");
            std::process::exit(1);
        }

        for source in ["shim.cc", "shim.h", "gloo-stubs"] {
            println!("cargo:rerun-if-changed=src/native/{source}");
        }
        cc::Build::new()
            .cpp(true)
            .std("c++17")
            .warnings(false) // libtorch's headers have hundreds
            .opt_level(1)
            .debug(false)
            .include("src/native/gloo-stubs")
            .include(&include)
            .include(include.join("torch/csrc/api/include"))
            .define("USE_C10D_GLOO", None)
            .define("_GLIBCXX_USE_CXX11_ABI", "1")
            .file("src/native/shim.cc")
            .compile("sumac_shim");

        // First the tree that was linked against, then an installed one beside bin/. Both end up as RUNPATH, which
        // LD_LIBRARY_PATH overrides.
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
        println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/libtorch/torch/lib");
    }
}

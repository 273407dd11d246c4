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

    const GOMP: &str = "libgomp.so.1";
    const MISSING: &str =
        "libtorch 2.11.0 not found: run make setup (or set LIBTORCH); to lint only: --features doc-only";

    fn plain() -> cc::Build {
        let mut build = cc::Build::new();
        build.cpp(true).std("c++17");
        build
    }

    /// For a kind of processor; where the compiler builds for other ones it is empty. A product and a sum become one operation where the
    /// source says so, and nowhere else, so that all kinds compute the same.
    fn kernel(kind: &str, flags: &[&str]) {
        let mut build = plain();
        build
            .warnings(false) // GCC's own headers leave registers unset of which no lane is used
            .opt_level(3)
            .debug(false)
            .flag("-ffp-contract=off")
            .file(format!("src/native/winograd/{kind}.cc"));
        if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
            build.flags(flags);
        }
        build.compile(&format!("sumac_{kind}"));
    }

    pub(super) fn build() {
        // torch-sys says where it found what it links against.
        println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
        let lib = std::env::var("DEP_TCH_LIBTORCH_LIB").unwrap_or_default();
        let include = Path::new(&lib).join("../include");
        if !include.join("torch/csrc/distributed/c10d/ProcessGroupGloo.hpp").is_file() {
            eprintln!("{MISSING}");
            std::process::exit(1);
        }

        for source in ["attempt.h", "shim.cc", "shim.h", "counting.cc", "cuda.cc", "nccl", "gloo-stubs", "winograd"] {
            println!("cargo:rerun-if-changed=src/native/{source}");
        }
        plain()
            .warnings(false) // libtorch's headers have hundreds
            .opt_level(1)
            .debug(false)
            .include("src/native/gloo-stubs")
            .include(&include)
            .include(include.join("torch/csrc/api/include"))
            // What ATen's headers spread over threads they spread by OpenMP, or not at all.
            .flag("-fopenmp")
            .define("USE_C10D_GLOO", None)
            .define("_GLIBCXX_USE_CXX11_ABI", "1")
            .file("src/native/shim.cc")
            .file("src/native/counting.cc")
            .file("src/native/cuda.cc")
            .file("src/native/winograd/convolution.cc")
            .compile("sumac_shim");
        // Linked behind the shim, which calls them.
        kernel("avx2", &["-mavx2", "-mfma"]);
        kernel("avx512", &["-mavx512f", "-mfma"]);
        // The one that libtorch itself runs on, if it has its own.
        println!("cargo:rustc-link-search=native={lib}");
        let gomp = if Path::new(&lib).join(GOMP).is_file() {
            format!("dylib:+verbatim={GOMP}")
        } else {
            "dylib=gomp".to_owned()
        };
        println!("cargo:rustc-link-lib={gomp}");

        // First the tree that was linked against, then an installed one beside bin/. Both end up as RUNPATH, which
        // LD_LIBRARY_PATH overrides.
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
        println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/libtorch/torch/lib");
    }
}

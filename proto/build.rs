//! Compiles the wire without protoc: protox reads it, tonic and prost write the Rust.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=sumac");
    let files = protox::compile(["sumac/v1/sumac.proto"], ["."])?;
    tonic_prost_build::configure().emit_rerun_if_changed(false).compile_fds(files)?;
    Ok(())
}

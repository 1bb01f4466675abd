//! Tells the loader where libtorch lies, so that the binary runs without `LD_LIBRARY_PATH`.

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        // RPATH and not RUNPATH: libtorch's own dependencies are found through it, too.
        println!("cargo::rustc-link-arg=-Wl,--disable-new-dtags,-rpath,{libtorch}/lib");
        println!("cargo::rustc-link-arg=-Wl,--no-as-needed");
    }
}

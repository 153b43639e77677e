//! What the plugin says of its own build, and how it is linked.

fn main() {
    gst_plugin_version_helper::info();
    // Relocations are a fourteenth of the library otherwise. Whoever has GStreamer 1.22 has a loader that knows them.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,pack-relative-relocs");
}

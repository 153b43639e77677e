//! What the plugin says of its own build.

fn main() {
    gst_plugin_version_helper::info();
}

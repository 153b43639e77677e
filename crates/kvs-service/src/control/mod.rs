//! The control plane: which streams there are, and what is set for them.

mod configuration;
mod edge;
mod requests;
mod stream;
mod streams;

pub use configuration::{ImageGeneration, Notification, StorageTier};
pub use edge::{Edge, EdgeConfig};
pub use stream::Stream;
pub use streams::{Account, Answer, Change, Refusal, Streams, Version};

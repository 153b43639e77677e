//! Any bytes as what the service and its worker of pictures say to each other: what reads is written the same, and no
//! more is held than came.
#![no_main]

use kvs_wire::picture::{Answer, PictureError, Request, length};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match Request::read(data) {
        Ok(request) => {
            assert!(request.frames.len() * 16 + request.wanted.len() * 8 <= data.len());
            for frame in &request.frames {
                let payload = request.payload(frame).expect("a frame that was not checked");
                assert_eq!(payload.len(), frame.length as usize);
            }
            let mut written = request.head().unwrap();
            written.extend_from_slice(request.media);
            let (prefix, message) = written.split_first_chunk().unwrap();
            assert_eq!((length(*prefix, data.len()), message), (Ok(data.len()), data));
        }
        Err(PictureError::TooLong { length, most }) => assert!(length > most),
        Err(PictureError::Short(_) | PictureError::Malformed(_)) => {}
    }
    if let Ok(answer) = Answer::read(data) {
        let head = answer.head().unwrap();
        assert_eq!([&head[4..], answer.body()].concat(), data);
    }
});

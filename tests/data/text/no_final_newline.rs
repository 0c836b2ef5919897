use std::fmt;

impl<'a> Shape<'a> {
    fn area(&self) -> f64 {
        let quote = '"';
        self.width * 2.0
    }
}
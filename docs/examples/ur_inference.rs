//! The two networks of the Ur trainer, from its JSON weights, without any crate.
//!
//!     rustc -O ur_inference.rs
//!     ./ur_inference weights.json < positions.txt
//!
//! Every line of standard input is a position: 150 numbers between blanks. For each, one line comes back: the value
//! (positive: good for player 2) and the seven probabilities of the policy. A kernel is read in the layout that the
//! file names in `weight_layout`; a file that names none, or has too few numbers, is refused.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

const FEATURES: usize = 150;
const MAX_DEPTH: usize = 16; // of nested JSON; the file has 3

enum Json {
    Null,
    Bool,
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(HashMap<String, Json>),
}

struct Parser<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl Parser<'_> {
    fn fail<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("byte {}: {}", self.place, what))
    }

    fn skip_blanks(&mut self) {
        while matches!(self.bytes.get(self.place), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.place += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_blanks();
        self.bytes.get(self.place).copied()
    }

    fn take(&mut self, wanted: u8) -> Result<(), String> {
        if self.peek() == Some(wanted) {
            self.place += 1;
            return Ok(());
        }
        self.fail(&format!("needed '{}'", wanted as char))
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > MAX_DEPTH {
            return self.fail("nested too deeply");
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.text().map(Json::Text),
            Some(b't') => self.word("true", Json::Bool),
            Some(b'f') => self.word("false", Json::Bool),
            Some(b'n') => self.word("null", Json::Null),
            Some(_) => self.number(),
            None => self.fail("the file ends too early"),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, String> {
        if self.bytes[self.place..].starts_with(word.as_bytes()) {
            self.place += word.len();
            return Ok(value);
        }
        self.fail("no value")
    }

    fn number(&mut self) -> Result<Json, String> {
        let start = self.place;
        while matches!(self.bytes.get(self.place), Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
            self.place += 1;
        }
        let digits = std::str::from_utf8(&self.bytes[start..self.place]).unwrap_or("");
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Json::Number(number)),
            _ => self.fail("no finite number"),
        }
    }

    // Escapes are kept as they stand: no key or word that is looked for has one.
    fn text(&mut self) -> Result<String, String> {
        self.take(b'"')?;
        let start = self.place;
        while let Some(&byte) = self.bytes.get(self.place) {
            if byte == b'"' {
                let text = String::from_utf8_lossy(&self.bytes[start..self.place]).into_owned();
                self.place += 1;
                return Ok(text);
            }
            self.place += if byte == b'\\' { 2 } else { 1 };
        }
        self.fail("a text does not end")
    }

    fn list(&mut self, depth: usize) -> Result<Json, String> {
        self.take(b'[')?;
        let mut values = Vec::new();
        if self.peek() == Some(b']') {
            self.place += 1;
            return Ok(Json::List(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            if self.peek() == Some(b']') {
                self.place += 1;
                return Ok(Json::List(values));
            }
            self.take(b',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        self.take(b'{')?;
        let mut entries = HashMap::new();
        if self.peek() == Some(b'}') {
            self.place += 1;
            return Ok(Json::Object(entries));
        }
        loop {
            self.skip_blanks();
            let key = self.text()?;
            self.take(b':')?;
            let value = self.value(depth + 1)?;
            if entries.insert(key, value).is_some() {
                return self.fail("a key twice");
            }
            if self.peek() == Some(b'}') {
                self.place += 1;
                return Ok(Json::Object(entries));
            }
            self.take(b',')?;
        }
    }
}

fn get<'a>(json: &'a Json, key: &str) -> Result<&'a Json, String> {
    match json {
        Json::Object(entries) => entries.get(key).ok_or(format!("'{key}' is missing")),
        _ => Err(format!("needed an object with '{key}'")),
    }
}

fn numbers(json: &Json, key: &str) -> Result<Vec<f64>, String> {
    let Json::List(values) = get(json, key)? else {
        return Err(format!("'{key}' is no list"));
    };
    values
        .iter()
        .map(|value| match value {
            Json::Number(number) => Ok(*number),
            _ => Err(format!("'{key}' holds something that is no number")),
        })
        .collect()
}

struct Layer {
    kernel: Vec<f64>, // (in, out), row by row
    bias: Vec<f64>,
}

fn layers(file: &Json, network: &str, outputs: usize, torch_layout: bool) -> Result<Vec<Layer>, String> {
    let config = get(get(file, "network_config")?, &format!("{network}_network"))?;
    let mut sizes = vec![FEATURES];
    for size in numbers(config, "hidden_sizes")? {
        if size < 1.0 || size > 65_536.0 || size.fract() != 0.0 {
            return Err(format!("{network}_network: {size} is no size of a layer"));
        }
        sizes.push(size as usize);
    }
    sizes.push(outputs);
    let flat = numbers(file, &format!("{network}_weights"))?;
    let needed: usize = sizes.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum();
    if flat.len() != needed {
        return Err(format!("'{network}_weights' has {} numbers, needed {needed}", flat.len()));
    }
    let mut start = 0;
    let mut found = Vec::new();
    for pair in sizes.windows(2) {
        let (rows, columns) = (pair[0], pair[1]);
        let stored = &flat[start..start + rows * columns];
        let mut kernel = stored.to_vec();
        if torch_layout {
            for row in 0..rows {
                for column in 0..columns {
                    kernel[row * columns + column] = stored[column * rows + row];
                }
            }
        }
        start += rows * columns;
        found.push(Layer { kernel, bias: flat[start..start + columns].to_vec() });
        start += columns;
    }
    Ok(found)
}

fn run(layers: &[Layer], features: &[f64]) -> Vec<f64> {
    let mut x = features.to_vec();
    for (number, layer) in layers.iter().enumerate() {
        let mut sums = layer.bias.clone();
        let columns = sums.len();
        for (row, input) in x.iter().enumerate() {
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum += input * layer.kernel[row * columns + column];
            }
        }
        if number + 1 < layers.len() {
            sums.iter_mut().for_each(|sum| *sum = sum.max(0.0));
        }
        x = sums;
    }
    x
}

fn softmax(sums: &[f64]) -> Vec<f64> {
    let largest = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shares: Vec<f64> = sums.iter().map(|sum| (sum - largest).exp()).collect();
    let total: f64 = shares.iter().sum();
    shares.iter().map(|share| share / total).collect()
}

fn judge_positions(path: &str) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let mut parser = Parser { bytes: &bytes, place: 0 };
    let file = parser.value(0).map_err(|error| format!("{path}: {error}"))?;
    let torch_layout = match get(&file, "weight_layout")? {
        Json::Text(name) if name == "input-output-row-major-v1" => false,
        Json::Text(name) if name == "output-input-row-major-v1" => true,
        _ => return Err(format!("{path}: 'weight_layout' is none of the two that are known")),
    };
    let value = layers(&file, "value", 1, torch_layout)?;
    let policy = layers(&file, "policy", 7, torch_layout)?;
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let features: Vec<f64> = line
            .split_whitespace()
            .map(|word| word.parse::<f64>().map_err(|_| format!("'{word}' is no number")))
            .collect::<Result<_, _>>()?;
        if features.len() != FEATURES {
            return Err(format!("a position has {} numbers, needed {FEATURES}", features.len()));
        }
        let mut results = vec![run(&value, &features)[0].tanh()];
        results.extend(softmax(&run(&policy, &features)));
        let words: Vec<String> = results.iter().map(|result| format!("{result:.12}")).collect();
        writeln!(output, "{}", words.join(" ")).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: ur_inference weights.json < positions.txt");
        return ExitCode::from(2);
    };
    match judge_positions(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(3)
        }
    }
}

//! `gauntlet proxy`, driven as people drive Toxiproxy: by an existing client, and by HTTP.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use toxiproxy_rust::{
    client::Client,
    proxy::{Proxy, ProxyPack},
};

/// The program, with its API on a free port. Dropped, it is killed.
struct Served {
    child: Child,
    /// Kept open: what it writes must not break it.
    _out: BufReader<ChildStdout>,
    /// What it said before it said where its API is.
    said: Vec<String>,
    api: SocketAddr,
}

impl Served {
    fn start(more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gauntlet"))
            .args(["proxy", "--api", "127.0.0.1:0"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut said = Vec::new();
        let api = loop {
            let mut line = String::new();
            let length = out.read_line(&mut line).expect("text");
            assert!(length > 0, "it ended after {said:?}");
            match line.trim().strip_prefix("api ") {
                Some(api) => break api.parse().expect("an address"),
                None => said.push(line.trim().to_owned()),
            }
        };
        Self {
            child,
            _out: out,
            said,
            api,
        }
    }

    /// Status and body; JSON where it is JSON.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, text) = self.ask_as("test", method, path, body);
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (status, value)
    }

    fn ask_as(&self, agent: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.api).expect("the API listens");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nUser-Agent: {agent}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status");
        (status.parse().expect("a number"), body.to_owned())
    }

    /// Ctrl-C, and its exit code.
    fn interrupt(mut self) -> Option<i32> {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a pid"));
        kill(pid, Signal::SIGINT).expect("it runs");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that says what it hears, until it is told the end; then it says `bye`.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.expect("a connection");
                let mut buffer = [0; 64 * 1024];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..length]).is_err() {
                        return;
                    }
                }
                let _ = stream.write_all(b"bye");
            });
        }
    });
    address
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the proxy listens");
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).expect("a time");
    stream
}

/// How long the echo took.
fn said_back(stream: &mut TcpStream, text: &str) -> Duration {
    let begun = Instant::now();
    stream.write_all(text.as_bytes()).expect("written");
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).expect("it comes back");
    assert_eq!(back, text.as_bytes());
    begun.elapsed()
}

fn is_refused(address: &str) -> bool {
    TcpStream::connect(address).is_err()
}

fn toxic(proxy: &Proxy, n: usize) -> (String, Vec<(String, u32)>) {
    let mut toxics = proxy.toxics().expect("toxics");
    let toxic = toxics.swap_remove(n);
    let mut attributes: Vec<_> = toxic.attributes.into_iter().collect();
    attributes.sort();
    (toxic.name, attributes)
}

#[test]
fn an_existing_client_makes_every_call_that_it_has() {
    let served = Served::start(&[]);
    let (upstream, client) = (echo().to_string(), Client::new(served.api));
    assert!(client.is_running());
    assert!(client.version().expect("a version").contains("\"2."));

    let pack = |name: &str| ProxyPack::new(name.into(), "127.0.0.1:0".into(), upstream.clone());
    let made = client
        .populate(vec![pack("one"), pack("two")])
        .expect("made");
    let names: Vec<&str> = made.iter().map(|p| p.proxy_pack.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    let all = client.all().expect("all");
    assert_eq!(all.len(), 2);
    assert!(client.find_proxy("three").is_err());
    let one = client.find_proxy("one").expect("it was made");
    let listen = one.proxy_pack.listen.clone();
    assert!(!listen.ends_with(":0") && one.proxy_pack.enabled);
    let mut open = connect(&listen);
    said_back(&mut open, "hello");

    // Each toxic, with its attributes, on a connection that is open.
    one.with_latency("downstream".into(), 60, 0, 1.0);
    assert!(said_back(&mut open, "late") >= Duration::from_millis(60));
    let attributes = vec![("jitter".into(), 0), ("latency".into(), 60)];
    assert_eq!(toxic(&one, 0), ("latency_downstream".into(), attributes));
    one.delete_all_toxics().expect("deleted");
    assert!(one.toxics().expect("toxics").is_empty());

    one.with_bandwidth("upstream".into(), 10, 1.0);
    assert!(said_back(&mut open, &"x".repeat(600)) >= Duration::from_millis(60));
    let attributes = vec![("rate".into(), 10)];
    assert_eq!(toxic(&one, 0), ("bandwidth_upstream".into(), attributes));
    one.delete_all_toxics().expect("deleted");

    one.with_slicer("downstream".into(), 1, 0, 10_000, 1.0);
    assert!(said_back(&mut open, "slice") >= Duration::from_millis(40));
    let attributes = ["average_size", "delay", "size_variation"].map(String::from);
    let attributes = attributes.into_iter().zip([1, 10_000, 0]).collect();
    assert_eq!(toxic(&one, 0), ("slicer_downstream".into(), attributes));
    one.delete_all_toxics().expect("deleted");

    one.with_slow_close("downstream".into(), 80, 1.0);
    said_back(&mut open, "still open");
    open.shutdown(Shutdown::Write).expect("half closed");
    let (begun, mut rest) = (Instant::now(), String::new());
    open.read_to_string(&mut rest).expect("an end");
    assert!(rest == "bye" && begun.elapsed() >= Duration::from_millis(80));
    one.delete_all_toxics().expect("deleted");

    let mut open = connect(&listen);
    one.with_timeout("upstream".into(), 30, 1.0);
    open.write_all(b"lost").expect("written");
    assert_eq!(open.read(&mut [0; 8]).expect("an end"), 0);
    let done = one.apply(|| {
        let mut open = connect(&listen);
        assert_eq!(open.read(&mut [0; 8]).expect("an end"), 0);
    });
    done.expect("it deletes all toxics afterwards");
    assert!(one.toxics().expect("toxics").is_empty());

    let mut open = connect(&listen);
    one.with_limit_data("downstream".into(), 7, 1.0);
    open.write_all(b"more than that").expect("written");
    let mut came = Vec::new();
    // The server's octets that nobody took may make a reset of the end.
    let _ = open.read_to_end(&mut came);
    assert_eq!(came, b"more th");

    // Down: refused, and what was open is closed.
    let reset = client.find_and_reset_proxy("one").expect("reset");
    assert!(reset.toxics().expect("toxics").is_empty());
    let mut open = connect(&listen);
    said_back(&mut open, "up");
    one.disable().expect("disabled");
    assert!(is_refused(&listen));
    assert_eq!(open.read(&mut [0; 8]).expect("an end"), 0);
    one.enable().expect("enabled");
    said_back(&mut connect(&listen), "up again");
    one.with_down(|| assert!(is_refused(&listen)))
        .expect("and up");
    said_back(&mut connect(&listen), "up again");

    one.with_latency("upstream".into(), 5, 1, 0.5);
    one.disable().expect("disabled");
    client.reset().expect("reset");
    let one = client.find_proxy("one").expect("it is there");
    assert!(one.proxy_pack.enabled && one.proxy_pack.toxics.is_empty());
    one.delete().expect("deleted");
    assert!(is_refused(&listen));
    assert_eq!(client.all().expect("all").len(), 1);
}

#[test]
fn a_proxy_and_its_toxics_are_made_in_one_call() {
    let served = Served::start(&["--seed", "3"]);
    let upstream = echo().to_string();
    let body = json!({
        "name": "mx", "listen": "127.0.0.1:0", "upstream": upstream,
        "toxics": [
            { "type": "latency", "attributes": { "latency": 50 } },
            { "type": "limit_data", "name": "enough", "stream": "upstream", "toxicity": 0.0, "attributes": { "bytes": 3 } },
        ],
    });
    let (status, proxy) = served.ask("POST", "/proxies", &body.to_string());
    assert_eq!(status, 201, "{proxy}");
    assert_eq!(
        proxy["toxics"],
        json!([
            { "attributes": { "bytes": 3 }, "name": "enough", "type": "limit_data", "stream": "upstream", "toxicity": 0.0 },
            { "attributes": { "latency": 50, "jitter": 0 }, "name": "latency_downstream", "type": "latency", "stream": "downstream", "toxicity": 1.0 },
        ])
    );
    let listen = proxy["listen"].as_str().expect("an address").to_owned();
    let mut open = connect(&listen);
    assert!(said_back(&mut open, "longer than three") >= Duration::from_millis(50));

    // Changed while the connection is open: by POST, as old clients do, and by PATCH.
    let path = "/proxies/mx/toxics/latency_downstream";
    for (method, latency) in [("POST", 120), ("PATCH", 90)] {
        let body = json!({ "attributes": { "latency": latency } }).to_string();
        let (status, toxic) = served.ask(method, path, &body);
        assert_eq!(
            (status, &toxic["attributes"]["latency"]),
            (200, &json!(latency))
        );
        assert!(said_back(&mut open, "x") >= Duration::from_millis(latency));
    }
    assert_eq!(served.ask("GET", path, "").1["toxicity"], json!(1.0));
    assert_eq!(served.ask("DELETE", path, "").0, 204);

    // The same again is left alone; another upstream replaces it, and drops what is open.
    let again = json!([{ "name": "mx", "listen": listen, "upstream": upstream }]);
    let (status, made) = served.ask("POST", "/populate", &again.to_string());
    assert_eq!(
        (
            status,
            made["proxies"][0]["toxics"].as_array().map(Vec::len)
        ),
        (201, Some(1))
    );
    said_back(&mut open, "undisturbed");
    let other = json!({ "upstream": echo().to_string() }).to_string();
    let (status, moved) = served.ask("PATCH", "/proxies/mx", &other);
    assert_eq!(
        (status, &moved["listen"], &moved["enabled"]),
        (200, &json!(listen), &json!(true))
    );
    assert_eq!(open.read(&mut [0; 8]).expect("an end"), 0);
    said_back(&mut connect(&listen), "elsewhere");

    let (_, metrics) = served.ask("GET", "/metrics", "");
    let metrics = metrics.as_str().expect("text").to_owned();
    let sent = format!(
        "toxiproxy_proxy_sent_bytes_total{{direction=\"upstream\",listener=\"{listen}\",proxy=\"mx\""
    );
    let line = metrics.lines().find(|line| line.starts_with(&sent));
    let count = line
        .and_then(|line| line.rsplit(' ').next())
        .expect("a count");
    assert_eq!(count, "39", "{metrics}");
}

#[test]
fn errors_are_toxiproxys() {
    let served = Served::start(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let proxy = r#"{"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}"#;
    let busy = json!({ "name": "b", "listen": taken, "upstream": "127.0.0.1:1" }).to_string();
    let cases = [
        ("POST", "/proxies", ""),
        ("POST", "/proxies", "{"),
        ("POST", "/proxies", r#"{"upstream": "127.0.0.1:1"}"#),
        ("POST", "/proxies", r#"{"name": "a", "upstream": ""}"#),
        ("POST", "/proxies", proxy),
        ("POST", "/proxies", proxy),
        ("POST", "/proxies", &busy),
        (
            "POST",
            "/proxies",
            r#"{"name": "c", "upstream": "x:1", "toxics": [{"type": "lag"}]}"#,
        ),
        ("GET", "/proxies/c", ""),
        ("PATCH", "/proxies/c", ""),
        ("DELETE", "/proxies/c", ""),
        ("GET", "/proxies/c/toxics", ""),
        ("PATCH", "/proxies/a", r#"{"enabled": "no"}"#),
        ("POST", "/proxies/a/toxics", "7"),
        ("POST", "/proxies/a/toxics", r#"{"type": "lag"}"#),
        (
            "POST",
            "/proxies/a/toxics",
            r#"{"type": "latency", "stream": "sideways"}"#,
        ),
        (
            "POST",
            "/proxies/a/toxics",
            r#"{"type": "latency", "attributes": {"latency": -1}}"#,
        ),
        ("POST", "/proxies/a/toxics", r#"{"type": "latency"}"#),
        ("POST", "/proxies/a/toxics", r#"{"type": "latency"}"#),
        ("GET", "/proxies/a/toxics/none", ""),
        ("PATCH", "/proxies/a/toxics/none", "{}"),
        ("DELETE", "/proxies/a/toxics/none", ""),
        (
            "POST",
            "/populate",
            r#"[{"name": "d", "upstream": "x:1", "enabled": false}, {"name": "e"}]"#,
        ),
        ("POST", "/populate", "{}"),
        ("PUT", "/proxies/a", ""),
        ("GET", "/nothing", ""),
    ];
    let mut said = String::new();
    for (method, path, body) in cases {
        let (status, answer) = served.ask(method, path, body);
        let answer = match &answer["error"] {
            Value::String(error) => {
                assert_eq!(answer["status"], json!(status), "{answer}");
                error.replace(&taken, "[taken]")
            }
            _ => answer["name"].as_str().unwrap_or_default().to_owned(),
        };
        said.push_str(&format!(
            "{method} {path} {} -> {status} {answer}\n",
            body.replace(&taken, "[taken]")
        ));
    }
    insta::assert_snapshot!(said, @r#"
    POST /proxies  -> 400 bad request body: EOF
    POST /proxies { -> 400 bad request body: EOF while parsing an object at line 1 column 1
    POST /proxies {"upstream": "127.0.0.1:1"} -> 400 missing required field: name
    POST /proxies {"name": "a", "upstream": ""} -> 400 missing required field: upstream
    POST /proxies {"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"} -> 201 a
    POST /proxies {"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"} -> 409 proxy already exists
    POST /proxies {"listen":"[taken]","name":"b","upstream":"127.0.0.1:1"} -> 500 listen tcp [taken]: Address already in use (os error 98)
    POST /proxies {"name": "c", "upstream": "x:1", "toxics": [{"type": "lag"}]} -> 400 invalid toxic type
    GET /proxies/c  -> 404 proxy not found
    PATCH /proxies/c  -> 404 proxy not found
    DELETE /proxies/c  -> 404 proxy not found
    GET /proxies/c/toxics  -> 404 proxy not found
    PATCH /proxies/a {"enabled": "no"} -> 400 bad request body: invalid type: string "no", expected a boolean at line 1 column 16
    POST /proxies/a/toxics 7 -> 400 bad request body: invalid type: integer `7`, expected a toxic at line 1 column 1
    POST /proxies/a/toxics {"type": "lag"} -> 400 invalid toxic type
    POST /proxies/a/toxics {"type": "latency", "stream": "sideways"} -> 400 stream was invalid, can be either upstream or downstream
    POST /proxies/a/toxics {"type": "latency", "attributes": {"latency": -1}} -> 400 bad request body: attribute `latency` is -1, and not a whole number from 0
    POST /proxies/a/toxics {"type": "latency"} -> 200 latency_downstream
    POST /proxies/a/toxics {"type": "latency"} -> 409 toxic already exists
    GET /proxies/a/toxics/none  -> 404 toxic not found
    PATCH /proxies/a/toxics/none {} -> 404 toxic not found
    DELETE /proxies/a/toxics/none  -> 404 toxic not found
    POST /populate [{"name": "d", "upstream": "x:1", "enabled": false}, {"name": "e"}] -> 400 missing required field: upstream at proxy 2
    POST /populate {} -> 400 bad request body: invalid type: map, expected a sequence at line 1 column 0
    PUT /proxies/a  -> 405 
    GET /nothing  -> 404 
    "#);
    assert_eq!(served.ask_as("Mozilla/5.0", "GET", "/proxies", "").0, 403);
}

#[test]
fn a_config_file_is_read_port_0_is_reported_and_ctrl_c_ends_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("toxiproxy.json");
    let upstream = echo().to_string();
    let config = json!([
        { "name": "mx", "listen": "localhost:0", "upstream": upstream, "enabled": true },
        { "name": "off", "listen": "127.0.0.1:0", "upstream": upstream, "enabled": false },
    ]);
    fs::write(&file, config.to_string()).expect("a file");
    let file = file.to_str().expect("text");
    let served = Served::start(&["--config", file]);
    let [on, off] = served.said.as_slice() else {
        panic!("{:?}", served.said);
    };
    let listen = on
        .strip_prefix("proxy mx ")
        .and_then(|rest| rest.strip_suffix(&format!(" -> {upstream}")))
        .expect("where it listens")
        .to_owned();
    assert!(!listen.ends_with(":0"), "{listen}");
    assert_eq!(
        *off,
        format!("proxy off 127.0.0.1:0 -> {upstream} (disabled)")
    );
    let mut open = connect(&listen);
    said_back(&mut open, "hello");
    let (status, all) = served.ask("GET", "/proxies", "");
    assert_eq!((status, &all["mx"]["listen"]), (200, &json!(listen)));
    let api = served.api.to_string();
    assert_eq!(served.interrupt(), Some(0));
    assert!(is_refused(&listen) && is_refused(&api));
    assert_eq!(open.read(&mut [0; 8]).expect("an end"), 0);
}

/// Exit code and stderr.
fn fails(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gauntlet"))
        .arg("proxy")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8(output.stderr).expect("text");
    (output.status.code(), said)
}

#[test]
fn bad_files_and_addresses_are_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("toxiproxy.json");
    let path = file.to_str().expect("text");
    for (text, why) in [
        ("[{ \"name\": \"a\",\n }]", "trailing comma at line 2"),
        (
            "[{ \"name\": \"a\" }]",
            "missing required field: upstream at proxy 1",
        ),
        (
            "[{ \"name\": \"a\", \"upstream\": \"x:1\", \"toxics\": [{ \"type\": \"lag\" }] }]",
            "invalid toxic type",
        ),
    ] {
        fs::write(&file, text).expect("a file");
        let (code, said) = fails(&["--api", "127.0.0.1:0", "--config", path]);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(why), "{said}");
    }
    let (code, said) = fails(&["--config", "/nowhere/at.all"]);
    assert!(
        code == Some(64) && said.contains("/nowhere/at.all"),
        "{said}"
    );
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let (code, said) = fails(&["--api", &taken]);
    assert!(code == Some(69) && said.contains("--api"), "{said}");
}

#[test]
fn the_harness_drives_a_toxiproxy_and_says_what_it_cannot_know() {
    let served = Served::start(&[]);
    let url = format!("http://{}", served.api);
    let directory = tempfile::tempdir().expect("a directory");
    let run = |steps: &str| {
        let text = format!(
            "title = 'Through Toxiproxy'\nguarantees = ['SC-01', 'TC-08']\non = ['process']\n\
             [cluster]\nnodes = ['n1', 'n2']\nmailboxes = 'n2'\n{steps}"
        );
        let file = directory.path().join("through.toml");
        fs::write(&file, text).expect("a file");
        let runs = directory.path().join("runs");
        let output = Command::new(env!("CARGO_BIN_EXE_gauntlet"))
            .args(["run", "--on", "process", "--toxiproxy", &url, "--runs-dir"])
            .args([&runs, &file])
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let text = |octets: Vec<u8>| String::from_utf8(octets).expect("text");
        let said = text(output.stdout) + &text(output.stderr);
        let history = fs::read_to_string(runs.join("latest/history.jsonl")).expect("a history");
        (output.status.code(), said, history)
    };
    let (code, said, history) = run(
        "[[step]]\ntoxic = { link = 'client-1>n1', type = 'latency', attributes = { latency = 50 } }\n\
         [[step]]\ndelay = { link = 'n1>n2', latency = '5ms' }\n\
         [[step]]\nsubmit = { to = 'n1' }\n\
         [[step]]\ndown = { link = 'client-2>n1' }\n\
         [[step]]\nsubmit = { to = 'n1', client = 'client-2' }\n",
    );
    assert_eq!(code, Some(2), "{said}");
    let verdict = |id: &str| {
        let line = said.lines().find(|line| line.contains(id));
        line.unwrap_or_default()
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(
        (verdict("TC-08").as_str(), verdict("SC-01").as_str()),
        ("holds", "inconclusive"),
        "{said}"
    );
    assert!(
        said.contains("links ran through a Toxiproxy at"),
        "{said}"
    );
    let records: Vec<Value> = history
        .lines()
        .map(|line| serde_json::from_str(line).expect("a record"))
        .collect();
    let of = |event: &str| {
        records
            .iter()
            .filter(|r| r["event"] == event)
            .collect::<Vec<_>>()
    };
    assert!(of("wire").is_empty() && of("unobserved").len() == 1);
    assert_eq!(of("fault-landed").len(), 3);
    let outcomes: Vec<&Value> = of("outcome").iter().map(|r| &r["outcome"]).collect();
    assert_eq!(outcomes, ["acked", "unsent"]);
    let took = of("outcome")[0]["t_us"].as_u64().expect("a time")
        - of("submit")[0]["t_us"].as_u64().expect("a time");
    assert!(took >= 3 * 50_000, "{took} µs");

    let (code, said, _) = run("[[step]]\npartition = { a = 'n1', b = 'n2' }\n");
    assert_eq!(code, Some(69), "{said}");
    assert!(
        said.contains("cannot send them again after healing"),
        "{said}"
    );
    // Nothing of it is left there.
    assert_eq!(served.ask("GET", "/proxies", ""), (200, json!({})));
}

"""Called by check.sh: BINARY FOLDER. Prints a line for each thing checked; fails at the first that is wrong."""
import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

BINARY, ROOM = os.path.abspath(sys.argv[1]), sys.argv[2]
SOURCE, IMAGE = os.path.join(ROOM, "source"), os.path.join(ROOM, "image")


def fine(what):
    print(f"ok   {what}")


def need(condition, what):
    if not condition:
        sys.exit(f"FAILED: {what}")


def instructions(path):
    """(word, rest) for each instruction, continued lines joined."""
    text = re.sub(r"\\\n", " ", open(path).read())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [(line.split(None, 1)[0].upper(), line.split(None, 1)[1]) for line in lines]


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    need(done.returncode == 0, f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def as_user(user, command):
    """The command as the image's user, where we may become it."""
    if os.getuid() != 0 or not shutil.which("setpriv"):
        return command
    uid, gid = user.split(":")
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *command]


def everything_is_there():
    """The files copied are enough for cargo: the manifest's targets and what the source embeds."""
    if shutil.which("cargo"):
        run(["cargo", "metadata", "--no-deps", "--offline", "--format-version=1"], cwd=SOURCE)
    texts = {path: open(path).read() for path in glob.glob(os.path.join(SOURCE, "src/**/*.rs"), recursive=True)}
    # What only tests see is not built into an image.
    tests = {(os.path.dirname(path), name) for path, text in texts.items() for name in re.findall(r"#\[cfg\(test\)\]\s*(?:#\[path = [^\]]*\]\s*)?mod (\w+);", text)}
    for path, text in texts.items():
        if (os.path.dirname(path), os.path.basename(path)[:-3]) in tests:
            continue
        text = text.split("#[cfg(test)]\nmod tests {")[0]
        for found in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', text):
            embedded = os.path.normpath(os.path.join(os.path.dirname(path), found))
            need(os.path.isfile(embedded), f"{os.path.relpath(path, SOURCE)} embeds {found}, which no COPY brings")


def build_step(command):
    """A RUN line of the first stage, in the room instead of a container."""
    if command.startswith("apk "):
        return "skipped, there is no apk here"
    if command.startswith("cargo build"):
        need("--release" in command and "--locked" in command, "the image holds a locked release build")
        for file in ("Cargo.toml", "Cargo.lock", "src/main.rs"):
            need(os.path.isfile(os.path.join(SOURCE, file)), f"the build needs {file}, which no COPY brings")
        everything_is_there()
        os.makedirs(os.path.join(SOURCE, "target/release"))
        shutil.copy(BINARY, os.path.join(SOURCE, "target/release/augenmass"))
        return "done before, with the binary given"
    if command.startswith("chown") and os.getuid() != 0:
        return "skipped, only root may do that"
    words = [ROOM + word if word.startswith("/image") else word for word in shlex.split(command)]
    run(words, cwd=SOURCE)
    return "done"


def dockerfile():
    steps = instructions("docker/Dockerfile")
    stages = [index for index, (word, _) in enumerate(steps) if word == "FROM"]
    need(len(stages) == 2, "the Dockerfile has two stages")
    need(steps[stages[1]][1] == "scratch", "the image begins empty")
    os.makedirs(SOURCE)
    for word, rest in steps[: stages[1]]:
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                if not os.path.exists(source):
                    sys.exit(f"FAILED: COPY {source}: there is no such file")
                to = os.path.normpath(os.path.join(SOURCE, target))
                copy = shutil.copytree if os.path.isdir(source) else shutil.copy
                copy(source, to)
            fine(f"COPY {rest}")
        elif word == "RUN":
            fine(f"RUN {rest} ({build_step(rest)})")
    last = dict(steps[stages[1] :])
    need(last["COPY"] == "--from=build /image /", "the image is what the build put into /image")
    user = last["USER"]
    need(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "the image's user is a number and not root")
    entry, arguments = json.loads(last["ENTRYPOINT"]), json.loads(last["CMD"])
    program = IMAGE + entry[0]
    need(os.access(program, os.X_OK), f"the entry point {entry[0]} is in the image")
    need(os.path.isdir(IMAGE + last["WORKDIR"]), "the working folder is in the image")
    said = run(as_user(user, [program, "--version"]), cwd="/")
    need(said.startswith("augenmass "), f"the entry point says {said!r}")
    fine(f"ENTRYPOINT --version as {user}: {said.strip()}")
    help_text = run(as_user(user, [program, arguments[0], "--help"]), cwd="/")
    for option in (word for word in arguments if word.startswith("--")):
        need(option in help_text, f"CMD: {arguments[0]} knows no {option}")
    fine("CMD: every option exists")
    if os.getuid() == 0:
        run(as_user(user, ["touch", IMAGE + last["WORKDIR"] + "/written"]))
        denied = subprocess.run(as_user(user, ["touch", IMAGE + "/usr/bin/written"]), capture_output=True)
        need(denied.returncode != 0, "the image's user can write outside its data folder")
        fine("the user writes its data folder and nothing else")
    return program, user


def load_yaml(path):
    try:
        import yaml
    except ImportError:
        print(f"SKIPPED: {path} is not parsed, Python's yaml is not installed")
        return None
    return yaml.safe_load(open(path))


def compose():
    files = {path: load_yaml(path) for path in glob.glob("docker/**/*.yml", recursive=True)}
    need(len(files) >= 5, "all files are there")
    fine(f"{len(files)} YAML files parse")
    whole = files["docker/compose.yml"]
    if whole is None:
        return
    for name, service in whole["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                need(os.path.exists(os.path.join("docker", source)), f"compose: {name}: {source} does not exist")
            else:
                need(source in whole["volumes"], f"compose: {name}: the volume {source} is not declared")
        for port in service.get("ports", []):
            need(port.startswith("127.0.0.1:"), f"compose: {name}: {port} is published beyond this machine")
        need("no-new-privileges:true" in service["security_opt"], f"compose: {name}: privileges")
    ours = whole["services"]["augenmass"]
    need(ours["read_only"] is True and ours["cap_drop"] == ["ALL"], "compose: the root is read-only, no capability")
    need(os.path.isfile(os.path.join("docker", ours["build"]["context"], ours["build"]["dockerfile"])), "compose: build")
    fine("compose: every file exists, nothing is published, the root is read-only")
    shown = files["docker/grafana/dashboards/augenmass.yml"]["providers"][0]["options"]["path"]
    mounted = [volume.split(":")[1] for volume in whole["services"]["grafana"]["volumes"]]
    need(shown in mounted, f"Grafana looks for dashboards in {shown}, which is not mounted")
    home = whole["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    need(os.path.isfile(home.replace(shown, "dashboards")), f"{home} does not exist")
    port = ours["ports"][0].split(":")[-1]
    urls = [source["url"] for source in files["docker/grafana/datasources/augenmass.yml"]["datasources"]]
    scraped = files["docker/prometheus.yml"]["scrape_configs"][0]["static_configs"][0]["targets"]
    need(f"http://augenmass:{port}" in urls and scraped == [f"augenmass:{port}"], "one port everywhere")
    fine("Grafana and Prometheus find augenmass, Grafana its dashboard")


def configurations(program, user):
    copy = os.path.join(ROOM, "augenmass.yml")
    shutil.copy("docker/augenmass.yml", copy)
    os.chmod(copy, 0o644)
    run(as_user(user, [program, "check", "config", copy]), cwd="/")
    fine("augenmass check config augenmass.yml")
    if shutil.which("promtool"):
        run(["promtool", "check", "config", "docker/prometheus.yml"])
        fine("promtool check config prometheus.yml")
    else:
        print("SKIPPED: prometheus.yml is not judged, promtool is not installed")


program, user = dockerfile()
compose()
configurations(program, user)

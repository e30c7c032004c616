# Packages of Debian and its kin, unpacked without root and without touching what is installed. To be sourced; $work is
# a folder for what is only needed meanwhile.

# Writes the machine's apt settings and package sources to $work in a private form: an apt that reads them keeps
# its lists and its cache there. How to reach the network is taken over, hooks that change the system are not.
private_apt() {
    local codename architecture suites file
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    architecture=$(dpkg --print-architecture)
    mkdir -p "$work"/{parts,lists/partial,cache/archives/partial}
    {
        apt-config dump | grep '^Acquire::' | grep -vE '^Acquire::(IndexTargets|Languages)'
        echo 'Acquire::Languages "none";'
        echo "APT::Architecture \"$architecture\";"
        echo "APT::Architectures \"$architecture\";"
        echo 'APT::Sandbox::User "root";'
        echo 'Dir::Etc::main "/dev/null";'
        echo 'Dir::Etc::parts "/dev/null";'
        echo 'Dir::Etc::sourcelist "/dev/null";'
        echo "Dir::Etc::sourceparts \"$work/parts\";"
        echo "Dir::State::lists \"$work/lists\";"
        echo "Dir::Cache \"$work/cache\";"
    } >"$work/apt.conf"

    # Of the sources, the distribution's own suites; and its backports, for there are newer servers in them.
    suites="$codename(-updates|-security|-backports)?"
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        awk -v RS= -v codename="$codename" -v suites="$suites" '
            "\n" $0 !~ "\nEnabled: *no" && $0 ~ "Components:[^\n]* main" && $0 ~ "Suites:[^\n]* " suites "( |\n|$)" {
                known = $0 ~ codename "-backports"
                lines = split($0, line, "\n")
                for (i = 1; i <= lines; i++) {
                    if (line[i] ~ /^Types:/) line[i] = "Types: deb"
                    if (!known && line[i] ~ "^Suites:.* " codename "( |$)") line[i] = line[i] " " codename "-backports"
                    print line[i]
                }
                print ""
            }' "$file" >"$work/parts/$(basename "$file")"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        sed -nE "
            s/^(deb .* $codename)( .*(main|universe).*)/\1\2\n\1-backports\2/p
            /^deb .* $codename-(updates|security) .*(main|universe)/p
            " "$file" >"$work/parts/$(basename "$file")"
    done
}

# Has `apt-get` know the newest packages. Sources that were not reached are in $unreached; they are no failure: what
# counts is whether the packages are found.
update_private_apt() {
    private_apt
    export APT_CONFIG=$work/apt.conf
    apt-get update --quiet=2 >"$work/update.log" 2>&1 || true
    unreached=$(grep '^[EW]:' "$work/update.log" || true)
    [ -z "$unreached" ] || echo "$unreached" >&2
}

# Unpacks packages, with those that they need and that are not installed, into the folder $1.
unpack() {
    local tree=$1 packages=() package
    shift
    # What is installed in another version stays as it is: programs run with it, or are not taken.
    mapfile -t packages < <(
        apt-get install --simulate --no-install-recommends "$@" 2>"$work/simulate.log" |
            sed -nE 's/^Inst ([^ ]+) \(([^ ]+).*/\1=\2/p'
    )
    if [ ${#packages[@]} -eq 0 ]; then
        say "the package sources have no $1: $(tail -n 1 "$work/simulate.log")"
        return 1
    fi
    mkdir -p "$tree"
    local downloads
    downloads=$(mktemp -d "$work/packages.XXXXXX")
    (cd "$downloads" && apt-get download --quiet=2 "${packages[@]}") || return 1
    for package in "$downloads"/*.deb; do
        dpkg-deb --extract "$package" "$tree" || return 1
    done
    rm -r "$downloads"
}

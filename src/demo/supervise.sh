# Runs a server in a process group of its own for as long as somebody wants it.
#
# $1: its log. The rest: its command line. Prints the server's process id.
# Standard input is a pipe that only the wanting process holds. A line on it is a signal for the server;
# its end stops the whole group, since the workers of some servers outlive their parent.
log=$1
shift
exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- &
server=$!
echo "$server"
{
    while read -r signal; do kill -s "$signal" "$server"; done
    # Pending for a stopped process until it goes on.
    trap '' TERM
    kill -s TERM 0
    kill -s CONT 0
} <&3 >/dev/null 2>&1 &
exec 3<&- >/dev/null
# Not ignored, which the server would inherit: caught, so that this shell outlives the server.
trap : TERM
wait "$server"
status=$?
if kill -s 0 "$server" 2>/dev/null; then wait "$server"; fi
kill -s TERM 0
exit "$status"

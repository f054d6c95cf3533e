# Runs a PostgreSQL server for as long as somebody wants it, and ends with its exit status.
#
# $1: a folder to remove when the server is abandoned, or nothing. The rest: the server's command line.
# Standard input is a pipe that only the wanting process holds. A line on it is a signal for the server;
# its end means that the process is gone, however it went, and stops the server.
# The shell is the server's parent, so the process id that it signals cannot be somebody else's by now.
remove=$1
shift
abandoned=
trap 'abandoned=yes' USR1
trap '' INT TERM HUP
# A background command of a plain shell loses its standard input.
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{
    while read -r signal; do kill -s "$signal" "$server"; done
    kill -s USR1 $$
    kill -s INT "$server"
} <&3 2>/dev/null &
reader=$!
exec 3<&-
wait "$server"
status=$?
if [ -n "$abandoned" ]; then
    wait "$server"
    status=$?
fi
kill "$reader" 2>/dev/null
if [ -n "$abandoned" ] && [ -n "$remove" ]; then rm -rf -- "$remove"; fi
exit "$status"

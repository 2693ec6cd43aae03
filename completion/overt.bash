# Completion of overt for bash: verbs, actions, options and the values they take. Source it, or put it at
# /usr/share/bash-completion/completions/overt. Needs nothing but bash.

# Options that take no value, and options that do, for one verb: set in `flags` and `values`.
_overt_options()
{
	local both_values="--config --state --rules --trust --crl --upstream-proxy --jsonl --pcapng --keylog --metrics
		--log --connections --hello-size --ring --leaf-cache --session-cache --dns-cache
		--refusal-cache --hello-timeout --dns-timeout --connect-timeout --handshake-timeout --idle-timeout
		--drain-timeout --refusal-lifetime"
	local both_flags="--help -h --quiet -q --verbose -v --lossless --show-secrets"
	case $1 in
	proxy)
		flags="$both_flags --single --print-nft --accord-upstream"
		values="$both_values --ca-cert --ca-key --listen --accept-proxy-protocol --proxy-auth --tproxy-source
			--send-proxy-protocol --operator --contact --purpose --retention --disclosure-url --audit-failure
			--user --workers --connections-per-client --accord --accord-role"
		;;
	exec)
		flags=$both_flags
		values="$both_values --accord --accord-rule --proxy --role --proxy-name"
		;;
	watch)
		flags="--help -h --promiscuous -p --follow -F --show-secrets --quiet -q --verbose -v"
		values="--read -r --interface -i --filter -f --connect --keys -k --private-key --psk --format -T --jsonl
			--pcapng -w --plaintext --plaintext-pcapng --export-objects --workers -j --connections --wait --wait-memory"
		;;
	get)
		flags="--help -h --explain -e --json -j --quiet -q"
		values="--accord -a --proxy -x --trust --accord-rule --role --proxy-name --approval-key --save-proof --timeout --max-size"
		;;
	accord)
		flags="--help -h --at-present --json -j"
		values="--state --name --accord -a --trust --proxy-name"
		;;
	ca)
		flags="--help -h --everything"
		values="--state --permit --format --lead --system-dir --nss"
		;;
	check)
		flags="--help -h --client-certificate"
		values="--name --connect --client --server --port --protocol --alpn --ja4 --refused --verification --issuer"
		;;
	refusals)
		flags="--help -h"
		values="--state"
		;;
	version)
		flags="--help -h"
		values=""
		;;
	esac
}

# Words for COMPREPLY, one per line and never split at blanks.
_overt_reply()
{
	local word
	COMPREPLY=()
	while IFS= read -r word; do
		COMPREPLY+=("$word")
	done
}

_overt_value()
{
	local option=$1 current=$2 verb=$3
	case $verb$option in
	exec--accord | get--accord | get-a | accord--accord | accord-a | get--save-proof | get--approval-key)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -f -- "$current")
		return
		;;
	proxy--accord)
		_overt_reply < <(compgen -W "off prefer require" -- "$current")
		return
		;;
	proxy--accord-role)
		_overt_reply < <(compgen -W "reader writer" -- "$current")
		return
		;;
	get--accord-rule)
		_overt_reply < <(compgen -W "require prefer" -- "$current")
		return
		;;
	get--role)
		_overt_reply < <(compgen -W "reader writer both" -- "$current")
		return
		;;
	watch--format | watch-T)
		_overt_reply < <(compgen -W "jsonl" -- "$current")
		return
		;;
	watch--interface | watch-i)
		_overt_reply < <(compgen -W "any $(ls /sys/class/net 2>/dev/null)" -- "$current")
		return
		;;
	watch--plaintext | watch--export-objects)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -d -- "$current")
		return
		;;
	esac
	case $option in
	--config | --rules | --trust | --crl | --ca-cert | --ca-key | --proxy-auth | --jsonl | --pcapng | --keylog | --read | -r | --keys | \
		-k | --private-key | --psk | -w | --plaintext-pcapng)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -f -- "$current")
		;;
	--state | --system-dir | --nss)
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -d -- "$current")
		;;
	--user) _overt_reply < <(compgen -u -- "$current") ;;
	--tproxy-source) _overt_reply < <(compgen -W "proxy client" -- "$current") ;;
	--send-proxy-protocol) _overt_reply < <(compgen -W "off v1 v2" -- "$current") ;;
	--audit-failure) _overt_reply < <(compgen -W "block bypass" -- "$current") ;;
	--log) _overt_reply < <(compgen -W "stderr journal file:" -- "$current") ;;
	--format) _overt_reply < <(compgen -W "pem der" -- "$current") ;;
	--protocol) _overt_reply < <(compgen -W "tls http plain" -- "$current") ;;
	*) COMPREPLY=() ;;
	esac
}

# Whether the word before the cursor is an option that waits for its value.
_overt_waits()
{
	local word
	for word in $values; do
		[[ $word == "$1" ]] && return 0
	done
	return 1
}

# Behind the options of exec stands a command with words of its own: the place of its first word, or nothing.
_overt_command_at()
{
	local i
	for ((i = 2; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == -- ]]; then
			echo $((i + 1))
			return
		elif [[ ${COMP_WORDS[i]} != -* ]] && ! _overt_waits "${COMP_WORDS[i - 1]}"; then
			echo "$i"
			return
		fi
	done
}

_overt_exec_command()
{
	local at=$1 current=$2
	if ((COMP_CWORD == at)); then
		_overt_reply < <(compgen -c -- "$current")
	elif declare -F _command_offset >/dev/null; then
		_command_offset "$at"
	else
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -f -- "$current")
	fi
}

_overt()
{
	local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
	local flags="" values="" at=""
	COMPREPLY=()
	# bash cuts --option=VALUE at the sign.
	if [[ $current == "=" ]]; then
		current=""
	elif [[ $before == "=" ]] && ((COMP_CWORD > 2)); then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	if ((COMP_CWORD == 1)); then
		_overt_reply < <(compgen -W "proxy exec watch get accord ca check refusals version help --help --version" -- "$current")
		return
	fi
	_overt_options "$verb"
	if [[ $verb == exec ]]; then
		at=$(_overt_command_at)
		if [[ -n $at ]]; then
			_overt_exec_command "$at" "$current"
			return
		fi
	fi
	if _overt_waits "$before"; then
		_overt_value "$before" "$current" "$verb"
	elif [[ $current == -* ]]; then
		_overt_reply < <(compgen -W "$flags $values" -- "$current")
	elif [[ $verb == exec ]]; then
		_overt_exec_command "$COMP_CWORD" "$current"
	elif [[ $verb == help ]]; then
		_overt_reply < <(compgen -W "proxy exec watch get accord ca check refusals version" -- "$current")
	elif [[ $verb == ca ]] && ((COMP_CWORD == 2)); then
		_overt_reply < <(compgen -W "show install remove export rotate" -- "$current")
	elif [[ $verb == accord ]] && ((COMP_CWORD == 2)); then
		_overt_reply < <(compgen -W "init show verify" -- "$current")
	elif [[ ($verb == accord && ${COMP_WORDS[2]} == verify) || $verb == check || $verb == watch || ($verb == ca && ${COMP_WORDS[2]} == export) ]]; then
		compopt -o filenames 2>/dev/null
		_overt_reply < <(compgen -f -- "$current")
	fi
}

complete -F _overt overt

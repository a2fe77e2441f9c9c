"""Anvil, the development chain of Foundry, as a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ffem_devnet.accounts import COUNT, MNEMONIC
from ffem_devnet.processes import LOOPBACK, Identity, check_port_free
from ffem_devnet.server import Chain, is_chain
from ffem_devnet.server import start as launch_server
from ffem_devnet.tools import foundry_binary

CHAIN_ID = 31337
HARDFORK = "prague"


class Anvil(Chain):
    """A running Anvil. Use it as a context manager, or call `stop`."""

    @classmethod
    def start(
        cls,
        *,
        port: int = 0,
        chain_id: int = CHAIN_ID,
        state: Path | None = None,
        state_interval: int | None = None,
        block_time: int | None = None,
        hardfork: str = HARDFORK,
        quiet: bool = True,
        log: Path | None = None,
        detached: bool = False,
        launched: Callable[[Identity], None] | None = None,
    ) -> Anvil:
        """Start Anvil on the loopback interface and wait until it answers.

        `port` 0 takes a free one. `state` is a file from which the chain goes on, where it exists, and to which it is
        written on `stop`, and every `state_interval` seconds. `block_time` in seconds mines in intervals instead of at
        once. With `quiet` the log holds errors only. `detached` lets it outlive this process, `launched` is told the
        process before it answers. Raises MissingExtra, InputError (port in use), ServerFailed.
        """
        binary = foundry_binary("anvil")
        if port:
            check_port_free(port, "the chain")
        command: list[str | Path] = [binary, "--host", LOOPBACK, "--port", str(port), "--chain-id", str(chain_id)]
        command += ["--hardfork", hardfork, "--mnemonic", MNEMONIC, "--accounts", str(COUNT), "--balance", "10000"]
        # Blocks' states are kept in memory only: on disk they would stay behind.
        command += ["--max-persisted-states", "0"]
        if state is not None:
            state.parent.mkdir(parents=True, exist_ok=True)
            command += ["--state", state.absolute()]
            if state_interval is not None:
                command += ["--state-interval", str(state_interval)]
        if block_time is not None:
            command += ["--block-time", str(block_time)]
        if quiet:
            command.append("--quiet")
        process, found, scratch = launch_server(
            command, "Anvil", is_chain(chain_id), port=port, log=log, detached=detached, launched=launched
        )
        return cls(process, found, scratch, chain_id)

"""Ganache, an alternative development chain, as a process of its own.

Ganache 7 ends at the Shanghai hard fork. The registry's bytecode uses no opcode that is newer (no MCOPY, no transient
storage), so it runs there although it is compiled for Prague; a test deploys it. EIP-7702 wallets do not exist there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ffem_devnet.accounts import COUNT, MNEMONIC
from ffem_devnet.processes import LOOPBACK, Identity, check_port_free, free_port
from ffem_devnet.server import Chain, is_chain
from ffem_devnet.server import start as launch_server
from ffem_devnet.tools import node, package_file

CHAIN_ID = 1337
HARDFORK = "shanghai"


class Ganache(Chain):
    """A running Ganache. Use it as a context manager, or call `stop`."""

    @classmethod
    def start(
        cls,
        *,
        port: int = 0,
        chain_id: int = CHAIN_ID,
        state: Path | None = None,
        block_time: int | None = None,
        quiet: bool = True,
        log: Path | None = None,
        detached: bool = False,
        launched: Callable[[Identity], None] | None = None,
    ) -> Ganache:
        """Start Ganache on the loopback interface and wait until it answers.

        `state` is a folder with the chain's database, made where it does not exist. The rest is as with `Anvil.start`.
        Raises MissingExtra (Ganache, or Node 20), InputError (port in use), ServerFailed.
        """
        program = package_file("ganache/dist/node/cli.js", "Ganache")
        if port:
            check_port_free(port, "the chain")
        chosen = port or free_port()  # Ganache refuses port 0
        command: list[str | Path] = [node(), program, "--server.host", LOOPBACK, "--server.port", str(chosen)]
        command += ["--chain.chainId", str(chain_id), "--chain.networkId", str(chain_id)]
        command += ["--chain.hardfork", HARDFORK, "--wallet.mnemonic", MNEMONIC]
        command += ["--wallet.totalAccounts", str(COUNT), "--wallet.defaultBalance", "10000"]
        if state is not None:
            state.mkdir(parents=True, exist_ok=True)
            command += ["--database.dbPath", state.absolute()]
        if block_time is not None:
            command += ["--miner.blockTime", str(block_time)]
        if quiet:
            command.append("--logging.quiet")
        process, found, scratch = launch_server(
            command, "Ganache", is_chain(chain_id), port=chosen, log=log, detached=detached, launched=launched
        )
        return cls(process, found, scratch, chain_id)

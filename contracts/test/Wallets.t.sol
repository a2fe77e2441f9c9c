// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {Multisig} from "./support/Multisig.sol";
import {Signing} from "./support/Signing.sol";

/// @dev What keys delegate to (EIP-7702): a contract that lets a second key sign. It has no storage of its own there.
contract Delegate is IERC1271 {
    address public immutable second;

    constructor(address second_) {
        second = second_;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address who, ECDSA.RecoverError problem,) = ECDSA.tryRecoverCalldata(hash, signature);
        bool good = problem == ECDSA.RecoverError.NoError && who == second;
        return good ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// @dev Answers to `isValidSignature` that mean no.
contract Odd {
    uint256 public immutable way;

    constructor(uint256 way_) {
        way = way_;
    }

    fallback() external {
        if (way == 0) revert();
        bytes32 magic = bytes32(IERC1271.isValidSignature.selector);
        // too short; of another selector; with bits behind the magic value; nothing
        if (way == 1) magic >>= 8;
        if (way == 2) magic = ~magic;
        if (way == 3) magic |= bytes32(uint256(1));
        uint256 length = way == 4 ? 31 : way == 5 ? 0 : 32;
        assembly ("memory-safe") {
            mstore(0x00, magic)
            return(0x00, length)
        }
    }
}

/// @dev Accepts whatever is asked. If it could write while asked it would call the registry again.
contract Reentrant is IERC1271 {
    address public immutable registry;
    bytes public data;

    constructor(address registry_) {
        registry = registry_;
    }

    function set(bytes calldata data_) external {
        data = data_;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        (bool ok,) = registry.staticcall(data);
        require(!ok, "a static call changed the registry");
        return IERC1271.isValidSignature.selector;
    }
}

/// @dev Wallets that are contracts, and keys that have delegated to one.
contract WalletsTest is Signing {
    uint256 internal constant A = 0xaaaa;
    uint256 internal constant B = 0xbbbb;
    uint256 internal constant C = 0xcccc;

    function _register(address who, bytes memory signature, uint256 nonce)
        internal
        pure
        returns (bytes memory)
    {
        return relayedCall(_direct(), IKeyRegistry.Authorization(who, nonce, START, signature));
    }

    function _direct() internal pure returns (bytes memory) {
        return abi.encodeCall(IKeyRegistry.registerKey, (1, publicKey(1, "key")));
    }

    function _digest(address who, uint256 nonce) internal view returns (bytes32) {
        return digestOf(domain(), structOf(who, _direct(), nonce, START));
    }

    function _refusesSignature(address who, bytes memory signature, uint256 nonce) internal {
        refuses(
            stranger,
            _register(who, signature, nonce),
            abi.encodeWithSelector(IKeyRegistry.BadSignature.selector, who)
        );
    }

    // ------------------------------------------------------------------ contracts (ERC-1271)

    /// @dev The whole life of a family's shared wallet that never sends a transaction: its key, a grant in its album, its
    ///      request, a revocation.
    function test_multisig() public {
        Multisig wallet = multisigOf(A, B);
        (owner, recipient) = (address(wallet), address(wallet));
        bytes[4] memory calls;
        (bytes32 album, uint32 set) = addAlbum(owner, "album", 1, 1);
        acceptAll(set);
        calls[0] = _direct();
        calls[1] = abi.encodeCall(IKeyRegistry.grant, (paramsOf(album, "grant", set)));
        bytes32 id = grantOf(album, "grant");
        calls[2] = abi.encodeCall(IKeyRegistry.requestAccess, (id, bytes("request key")));
        calls[3] = abi.encodeCall(IKeyRegistry.revoke, (album, "grant"));
        for (uint256 i = 0; i < calls.length; ++i) {
            bytes32 digest = digestOf(domain(), structOf(address(wallet), calls[i], i, START));
            IKeyRegistry.Authorization memory a =
                IKeyRegistry.Authorization(address(wallet), i, START, signedByBoth(wallet, A, B, digest));
            logsOf(stranger, relayedCall(calls[i], a));
        }
        IKeyRegistry.GrantView memory state = registry.grantState(id);
        checkEq(state.recipient, address(wallet), "recipient");
        checkEq(state.seq, 1, "requests");
        check(state.revoked, "revoked");
    }

    function test_multisig_BadSignature() public {
        Multisig wallet = multisigOf(A, B);
        bytes32 digest = _digest(address(wallet), 1);
        bytes32 inner = wallet.bound(digest);
        // one, one twice, one and a stranger, both without the wallet's binding, both for another nonce, and none
        _refusesSignature(address(wallet), signed(A, inner), 1);
        _refusesSignature(address(wallet), bytes.concat(signed(A, inner), signed(A, inner)), 1);
        _refusesSignature(address(wallet), signedByBoth(wallet, A, C, digest), 1);
        _refusesSignature(address(wallet), bytes.concat(signed(A, digest), signed(B, digest)), 1);
        _refusesSignature(address(wallet), signedByBoth(wallet, A, B, _digest(address(wallet), 2)), 1);
        _refusesSignature(address(wallet), "", 1);
        // another wallet of the same keys
        Multisig other = multisigOf(A, B);
        _refusesSignature(address(other), signedByBoth(wallet, A, B, digest), 1);
        logsOf(stranger, _register(address(wallet), signedByBoth(wallet, A, B, digest), 1));
    }

    /// @dev A contract's signature is worth what the contract says now: not after an owner was replaced.
    function test_multisig_ownerReplaced() public {
        Multisig wallet = multisigOf(A, B);
        bytes memory former = signedByBoth(wallet, A, B, _digest(address(wallet), 1));
        bytes memory data = abi.encodeCall(Multisig.replaceOwner, (vm.addr(B), vm.addr(C)));
        bytes32 hash = keccak256(abi.encode(address(wallet), data));
        wallet.execute(address(wallet), data, signedByBoth(wallet, A, B, hash));
        _refusesSignature(address(wallet), former, 1);
        logsOf(
            stranger, _register(address(wallet), signedByBoth(wallet, A, C, _digest(address(wallet), 1)), 1)
        );
    }

    /// @dev A contract can call by itself as well, and its album needs no signature then.
    function test_multisig_executes() public {
        Multisig wallet = multisigOf(A, B);
        bytes memory data = _direct();
        bytes32 hash = keccak256(abi.encode(address(registry), data));
        wallet.execute(address(registry), data, signedByBoth(wallet, A, B, hash));
        checkEq(registry.activeKey(address(wallet), 1), 1, "active key");
    }

    function test_oddAnswers_BadSignature() public {
        for (uint256 way = 0; way < 6; ++way) {
            _refusesSignature(address(new Odd(way)), "signature", way);
        }
    }

    /// @dev The contract is asked by a static call, with its nonce used already.
    function test_reentrant() public {
        Reentrant wallet = new Reentrant(address(registry));
        wallet.set(_register(address(wallet), "any", 2));
        logsOf(stranger, _register(address(wallet), "any", 1));
        checkEq(registry.activeKey(address(wallet), 1), 1, "active key");
        check(!registry.nonceUsed(address(wallet), 2), "used");
    }

    // ------------------------------------------------------------------ delegated keys (EIP-7702)

    function _delegate(address to) internal returns (address who) {
        who = vm.addr(A);
        vm.signAndAttachDelegation(to, A);
        // the delegation is of the next transaction
        (bool ok,) = address(this).call(abi.encodeCall(this.nothing, ()));
        check(ok, "nothing");
        checkEq(who.code, abi.encodePacked(hex"ef0100", to), "the delegation");
    }

    function nothing() external {}

    function testFuzz_delegated(uint256 nonce, uint256 key) public {
        key = bound(key, 1, SECP256K1_ORDER - 1);
        vm.assume(key != A && key != B && nonce < type(uint256).max);
        address who = _delegate(address(new Delegate(vm.addr(B))));
        _refusesSignature(who, signed(key, _digest(who, nonce)), nonce);
        logsOf(stranger, _register(who, signed(A, _digest(who, nonce)), nonce));
        logsOf(stranger, _register(who, signed(B, _digest(who, nonce + 1)), nonce + 1));
        checkEq(registry.activeKey(who, 1), 2, "active key");
        // the second key is none of the wallet's without the delegation
        _refusesSignature(vm.addr(C), signed(B, _digest(vm.addr(C), 5)), 5);
    }

    /// @dev To a contract that knows no signatures, and to no contract at all: the key's own signature is what there is.
    function test_delegated_toOthers() public {
        address who = _delegate(address(new Odd(0)));
        _refusesSignature(who, signed(B, _digest(who, 1)), 1);
        logsOf(stranger, _register(who, signed(A, _digest(who, 1)), 1));
        who = _delegate(address(0xdead));
        _refusesSignature(who, signed(B, _digest(who, 2)), 2);
        logsOf(stranger, _register(who, signed(A, _digest(who, 2)), 2));
    }

    function testFuzz_delegated_malleable(uint256 nonce) public {
        address who = _delegate(address(new Delegate(vm.addr(B))));
        for (uint256 i = 0; i < 2; ++i) {
            (uint8 v, bytes32 r, bytes32 s) = vm.sign(i == 0 ? A : B, _digest(who, nonce));
            bytes memory twin =
                abi.encodePacked(r, SECP256K1_ORDER - uint256(s), v == 27 ? uint8(28) : uint8(27));
            _refusesSignature(who, twin, nonce);
        }
    }

    /// @dev One key signs for a wallet that it shares, for another one, and has a wallet of its own: what it signs for one is
    ///      of no use to the others. Else a member of a family's wallet gives the others its own by a signature.
    function testFuzz_keyOfSeveralWallets(uint256 nonce) public {
        address[3] memory wallets =
            [_delegate(address(new Delegate(vm.addr(B)))), address(new Delegate(vm.addr(B))), vm.addr(B)];
        for (uint256 i = 0; i < 3; ++i) {
            bytes memory signature = signed(B, _digest(wallets[i], nonce));
            for (uint256 j = 0; j < 3; ++j) {
                if (j != i) _refusesSignature(wallets[j], signature, nonce);
            }
        }
        for (uint256 i = 0; i < 3; ++i) {
            logsOf(stranger, _register(wallets[i], signed(B, _digest(wallets[i], nonce)), nonce));
        }
    }

    /// @dev A contract has no key: only what it answers counts, whoever's signature it is asked about.
    function test_contractsHaveNoKey() public {
        address who = address(new Odd(5));
        _refusesSignature(who, signed(A, _digest(who, 1)), 1);
    }
}

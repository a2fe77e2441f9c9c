// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {Signing} from "./support/Signing.sol";
import {Vm} from "./support/Vm.sol";

/// @dev Each of the six calls that can be signed, as `kind`, by a wallet that may make all of them.
contract SignaturesTest is Signing {
    uint256 internal constant KEY = 0xa11ce;
    uint256 internal constant KINDS = 6;

    address internal signer;
    bytes32 internal album;
    bytes32 internal id;
    uint32 internal set;

    function setUp() public override {
        super.setUp();
        signer = vm.addr(KEY);
        (owner, recipient) = (signer, signer);
        (album, id) = granted(1, 1);
        set = 1;
    }

    function _direct(uint256 kind, bytes memory data) internal view returns (bytes memory) {
        kind %= KINDS;
        if (kind == 0) return abi.encodeCall(IKeyRegistry.registerKey, (1, publicKey(1, keccak256(data))));
        if (kind == 1) {
            return abi.encodeCall(IKeyRegistry.setKeyStatus, (1, IKeyRegistry.KeyStatus.Compromised));
        }
        if (kind == 2) return abi.encodeCall(IKeyRegistry.publishRecovery, (1, data));
        if (kind == 3) return abi.encodeCall(IKeyRegistry.requestAccess, (id, data));
        if (kind == 4) {
            IKeyRegistry.GrantParams memory params = paramsOf(album, keccak256(data), set);
            (params.scopeCommit, params.payload) = (keccak256(abi.encode(data)), data);
            return abi.encodeCall(IKeyRegistry.grant, (params));
        }
        return abi.encodeCall(IKeyRegistry.revoke, (album, "grant"));
    }

    function _authorization(bytes memory direct, uint256 nonce, uint256 deadline)
        internal
        view
        returns (IKeyRegistry.Authorization memory)
    {
        bytes memory signature = signed(KEY, digestOf(domain(), structOf(signer, direct, nonce, deadline)));
        return IKeyRegistry.Authorization(signer, nonce, deadline, signature);
    }

    function _refusesSignature(bytes memory direct, IKeyRegistry.Authorization memory a) internal {
        refuses(
            stranger,
            relayedCall(direct, a),
            abi.encodeWithSelector(IKeyRegistry.BadSignature.selector, a.signer)
        );
    }

    // ------------------------------------------------------------------ what is signed is done

    /// @dev By whoever relays it, in its last second too: the same events, after the one that says the nonce is used.
    function testFuzz_signedCall(
        uint256 kind,
        bytes memory data,
        address relay,
        uint256 nonce,
        uint256 deadline
    ) public {
        deadline = bound(deadline, START, type(uint256).max);
        bytes memory direct = _direct(kind, data);
        IKeyRegistry.Authorization memory a = _authorization(direct, nonce, deadline);
        if (deadline < type(uint40).max && deadline % 2 == 0) vm.warp(deadline);
        if (kind % KINDS == 3 || kind % KINDS == 4) vm.warp(START);
        check(!registry.nonceUsed(signer, nonce), "the nonce before");
        Vm.Log[] memory logs = logsOf(relay, relayedCall(direct, a));
        check(registry.nonceUsed(signer, nonce), "the nonce after");
        checkLog(
            logs[0],
            topicsOf(IKeyRegistry.NoncesUsed.selector, word(signer), bytes32(nonce >> 8)),
            abi.encode(uint256(1) << (nonce & 0xff))
        );
        _checkSameAsDirect(kind, direct, logs);
    }

    /// @dev A second registry at the same state takes the direct call.
    function _checkSameAsDirect(uint256 kind, bytes memory direct, Vm.Log[] memory logs) internal {
        vm.warp(START);
        registry = deployed("another");
        granted(1, 1);
        Vm.Log[] memory plain = logsOf(signer, direct);
        checkEq(logs.length, plain.length + 1, "events");
        for (uint256 i = 0; i < plain.length; ++i) {
            checkEq(abi.encode(logs[i + 1].topics), abi.encode(plain[i].topics), "topics");
            checkEq(logs[i + 1].data, plain[i].data, "data");
        }
        checkEq(plain.length, kind % KINDS == 0 ? 2 : 1, "events of the direct call");
    }

    function test_signedCall_returns() public {
        bytes[3] memory expected = [abi.encode(2), abi.encode(1), abi.encode(grantOf(album, keccak256("x")))];
        uint8[3] memory kinds = [0, 3, 4];
        for (uint256 i = 0; i < 3; ++i) {
            // the key that kind 4 seals to is retired by kind 0, so in this order backwards
            bytes memory direct = _direct(kinds[2 - i], "x");
            bytes memory data = relayedCall(direct, _authorization(direct, i, START));
            (bool ok, bytes memory answer,) = attempt(stranger, data);
            check(ok, "the call was refused");
            checkEq(answer, expected[2 - i], "what the call returns");
        }
    }

    function test_publishRecovery() public {
        Vm.Log[] memory logs = logsOf(signer, _direct(2, "sealed"));
        checkEq(logs.length, 1, "events");
        checkLog(
            logs[0],
            topicsOf(IKeyRegistry.RecoveryPublished.selector, word(signer), bytes32(uint256(1))),
            abi.encode(bytes("sealed"))
        );
    }

    function testFuzz_publishRecovery_NoSuchKey(address who, uint32 version, bytes memory data) public {
        vm.assume(who != signer || version != 1);
        refuses(
            who,
            abi.encodeCall(IKeyRegistry.publishRecovery, (version, data)),
            abi.encodeWithSelector(IKeyRegistry.NoSuchKey.selector, who, version)
        );
    }

    // ------------------------------------------------------------------ deadlines and nonces

    function testFuzz_SignatureExpired(uint256 kind, uint256 nonce, uint256 deadline) public {
        deadline = bound(deadline, 0, START - 1);
        bytes memory direct = _direct(kind, "data");
        refuses(
            stranger,
            relayedCall(direct, _authorization(direct, nonce, deadline)),
            abi.encodeWithSelector(IKeyRegistry.SignatureExpired.selector, deadline)
        );
    }

    function test_SignatureExpired_edge() public {
        bytes memory direct = _direct(5, "");
        bytes memory data = relayedCall(direct, _authorization(direct, 1, START + 9));
        vm.warp(START + 10);
        refuses(stranger, data, abi.encodeWithSelector(IKeyRegistry.SignatureExpired.selector, START + 9));
        vm.warp(START + 9);
        logsOf(stranger, data);
    }

    /// @dev The same signature again, and another call with a nonce that any call has used.
    function testFuzz_NonceUsed(uint256 kind, uint256 other, uint256 nonce) public {
        bytes memory direct = _direct(kind, "data");
        bytes memory data = relayedCall(direct, _authorization(direct, nonce, START));
        logsOf(stranger, data);
        bytes memory expected = abi.encodeWithSelector(IKeyRegistry.NonceUsed.selector, signer, nonce);
        refuses(stranger, data, expected);
        direct = _direct(other, "other data");
        refuses(signer, relayedCall(direct, _authorization(direct, nonce, START)), expected);
    }

    /// @dev Nonces have no order, and those of a word are apart from each other and from other words.
    function testFuzz_noncesHaveNoOrder(uint256[8] memory nonces) public {
        for (uint256 i = 0; i < nonces.length; ++i) {
            // half of them share a word
            if (i % 2 == 0) nonces[i] = nonces[i] & 0xff;
            for (uint256 j = 0; j < i; ++j) {
                if (nonces[i] == nonces[j]) return;
            }
        }
        for (uint256 i = 0; i < nonces.length; ++i) {
            bytes memory direct = _direct(2, "data");
            logsOf(stranger, relayedCall(direct, _authorization(direct, nonces[i], START)));
            for (uint256 j = 0; j < nonces.length; ++j) {
                check(registry.nonceUsed(signer, nonces[j]) == (j <= i), "used");
            }
        }
    }

    function testFuzz_useNonces(address who, uint256 bucket, uint256 first, uint256 second, uint8 bit)
        public
    {
        bucket = bound(bucket, 0, type(uint256).max >> 8);
        uint256[2] memory masks = [first, second];
        uint256 used;
        for (uint256 i = 0; i < 2; ++i) {
            Vm.Log[] memory logs = logsOf(who, abi.encodeCall(IKeyRegistry.useNonces, (bucket, masks[i])));
            checkEq(logs.length, 1, "events");
            checkLog(
                logs[0],
                topicsOf(IKeyRegistry.NoncesUsed.selector, word(who), bytes32(bucket)),
                abi.encode(masks[i])
            );
            used |= masks[i];
            check(registry.nonceUsed(who, bucket << 8 | bit) == (used >> bit & 1 == 1), "used");
        }
        check(!registry.nonceUsed(who, (bucket ^ 1) << 8 | bit), "used in another word");
        check(who == stranger || !registry.nonceUsed(stranger, bucket << 8 | bit), "used by another wallet");
    }

    /// @dev A signature that was given out is void once its nonce is used up, even where the relay has it already.
    function testFuzz_NonceUsed_cancelled(uint256 kind, uint256 nonce) public {
        bytes memory direct = _direct(kind, "data");
        bytes memory data = relayedCall(direct, _authorization(direct, nonce, type(uint256).max));
        vm.prank(signer);
        registry.useNonces(nonce >> 8, uint256(1) << (nonce & 0xff));
        refuses(stranger, data, abi.encodeWithSelector(IKeyRegistry.NonceUsed.selector, signer, nonce));
    }

    // ------------------------------------------------------------------ what is not signed is not done

    function testFuzz_BadSignature_anotherKey(uint256 kind, uint256 nonce, uint256 key) public {
        key = bound(key, 1, SECP256K1_ORDER - 1);
        vm.assume(key != KEY);
        bytes memory direct = _direct(kind, "data");
        bytes memory signature = signed(key, digestOf(domain(), structOf(signer, direct, nonce, START)));
        _refusesSignature(direct, IKeyRegistry.Authorization(signer, nonce, START, signature));
    }

    function testFuzz_BadSignature_anotherSigner(uint256 kind, address who) public {
        vm.assume(who != signer && who.code.length == 0);
        bytes memory direct = _direct(kind, "data");
        IKeyRegistry.Authorization memory a = _authorization(direct, 1, START);
        a.signer = who;
        _refusesSignature(direct, a);
    }

    function testFuzz_BadSignature_anotherNonceOrDeadline(uint256 kind, uint256 nonce, uint256 deadline)
        public
    {
        deadline = bound(deadline, START, type(uint256).max);
        bytes memory direct = _direct(kind, "data");
        IKeyRegistry.Authorization memory a = _authorization(direct, 7, START + 7);
        if (nonce == 7 && deadline == START + 7) nonce = 8;
        (a.nonce, a.deadline) = (nonce, deadline);
        _refusesSignature(direct, a);
    }

    /// @dev Every argument is signed: the same bytes for the other kinds, and each kind with other arguments.
    function testFuzz_BadSignature_anotherCall(uint256 kind, uint256 other) public {
        vm.assume(kind % KINDS != other % KINDS);
        IKeyRegistry.Authorization memory a = _authorization(_direct(kind, "data"), 1, START);
        _refusesSignature(_direct(other, "data"), a);
    }

    function testFuzz_BadSignature_otherArguments(uint8 field) public {
        field %= 16;
        bytes memory direct;
        bytes memory altered;
        if (field < 8) {
            IKeyRegistry.GrantParams memory p = paramsOf(album, "new", set);
            direct = abi.encodeCall(IKeyRegistry.grant, (p));
            if (field == 0) p.album = ~p.album;
            else if (field == 1) p.salt = ~p.salt;
            else if (field == 2) p.scopeCommit = ~p.scopeCommit;
            else if (field == 3) p.recipient = stranger;
            else if (field == 4) p.keyVersion ^= 2;
            else if (field == 5) p.expiry += 1;
            else if (field == 6) p.keeperSet = 0;
            else p.payload = "another";
            altered = abi.encodeCall(IKeyRegistry.grant, (p));
        } else {
            bytes[2][8] memory pairs = [
                [
                    abi.encodeCall(IKeyRegistry.registerKey, (1, bytes("key"))),
                    abi.encodeCall(IKeyRegistry.registerKey, (2, bytes("key")))
                ],
                [
                    abi.encodeCall(IKeyRegistry.registerKey, (1, bytes("key"))),
                    abi.encodeCall(IKeyRegistry.registerKey, (1, bytes("kez")))
                ],
                [
                    abi.encodeCall(IKeyRegistry.setKeyStatus, (1, IKeyRegistry.KeyStatus.Retired)),
                    abi.encodeCall(IKeyRegistry.setKeyStatus, (2, IKeyRegistry.KeyStatus.Retired))
                ],
                [
                    abi.encodeCall(IKeyRegistry.setKeyStatus, (1, IKeyRegistry.KeyStatus.Retired)),
                    abi.encodeCall(IKeyRegistry.setKeyStatus, (1, IKeyRegistry.KeyStatus.Compromised))
                ],
                [
                    abi.encodeCall(IKeyRegistry.publishRecovery, (1, bytes("key"))),
                    abi.encodeCall(IKeyRegistry.publishRecovery, (1, bytes("kez")))
                ],
                [
                    abi.encodeCall(IKeyRegistry.requestAccess, (id, bytes("key"))),
                    abi.encodeCall(IKeyRegistry.requestAccess, (id, bytes("kez")))
                ],
                [
                    abi.encodeCall(IKeyRegistry.requestAccess, (id, bytes("key"))),
                    abi.encodeCall(IKeyRegistry.requestAccess, (~id, bytes("key")))
                ],
                [
                    abi.encodeCall(IKeyRegistry.revoke, (album, "grant")),
                    abi.encodeCall(IKeyRegistry.revoke, (album, "salt"))
                ]
            ];
            (direct, altered) = (pairs[field - 8][0], pairs[field - 8][1]);
        }
        _refusesSignature(altered, _authorization(direct, 1, START));
    }

    /// @dev A signature is of one chain: neither for a fork of it nor for another one with the same addresses.
    function testFuzz_BadSignature_anotherChain(uint256 kind, uint64 chain) public {
        vm.assume(chain != block.chainid && chain != 0);
        bytes memory direct = _direct(kind, "data");
        bytes32 home = domain();
        IKeyRegistry.Authorization memory a = _authorization(direct, 1, START);
        vm.chainId(chain);
        _refusesSignature(direct, a);
        // while one for the fork is good there, since the domain is not frozen
        check(domain() != home, "the fork's domain");
        logsOf(stranger, relayedCall(direct, _authorization(direct, 1, START)));
    }

    /// @dev Another registry at another address, and one that has the address and another deployment id.
    function testFuzz_BadSignature_anotherRegistry(uint256 kind, address place, bytes32 deployment) public {
        bytes32 mine = registry.deploymentId();
        vm.assume(place != address(registry) && deployment != mine);
        bytes memory direct = _direct(kind, "data");
        bytes32 structHash = structOf(signer, direct, 1, START);
        bytes32[3] memory others = [
            domainOf(block.chainid, place, mine),
            domainOf(block.chainid, address(registry), deployment),
            domainOf(block.chainid, place, deployment)
        ];
        for (uint256 i = 0; i < others.length; ++i) {
            bytes memory signature = signed(KEY, digestOf(others[i], structHash));
            _refusesSignature(direct, IKeyRegistry.Authorization(signer, 1, START, signature));
        }
        IKeyRegistry.Authorization memory a = _authorization(direct, 1, START);
        registry = deployed("salt");
        granted(1, 1);
        _refusesSignature(direct, a);
    }

    /// @dev The other solution (r, n - s) of the curve's equation, which is none of the signer's.
    function testFuzz_BadSignature_malleable(uint256 kind, uint256 nonce) public {
        bytes memory direct = _direct(kind, "data");
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(KEY, digestOf(domain(), structOf(signer, direct, nonce, START)));
        bytes memory twin = abi.encodePacked(r, SECP256K1_ORDER - uint256(s), v == 27 ? uint8(28) : uint8(27));
        _refusesSignature(direct, IKeyRegistry.Authorization(signer, nonce, START, twin));
    }

    /// @dev Any other bytes: of another length (EIP-2098's 64 among them), another v, or without meaning.
    function testFuzz_BadSignature_otherBytes(uint256 kind, bytes memory signature, uint8 v) public {
        bytes memory direct = _direct(kind, "data");
        IKeyRegistry.Authorization memory a = _authorization(direct, 1, START);
        bytes memory right = a.signature;
        a.signature = signature;
        _refusesSignature(direct, a);
        a.signature = bytes.concat(right, hex"00");
        _refusesSignature(direct, a);
        if (bytes1(v) == right[64]) ++v;
        right[64] = bytes1(v);
        a.signature = right;
        _refusesSignature(direct, a);
        (uint8 parity, bytes32 r, bytes32 s) =
            vm.sign(KEY, digestOf(domain(), structOf(signer, direct, 1, START)));
        a.signature = abi.encodePacked(r, uint256(s) | uint256(parity - 27) << 255);
        _refusesSignature(direct, a);
    }

    /// @dev ecrecover answers the zero address to nonsense: no nonsense is a signature of the zero address.
    function testFuzz_BadSignature_zeroAddress(uint256 kind, bytes32 r, bytes32 s, uint8 v) public {
        bytes memory direct = _direct(kind, "data");
        vm.assume(v != 27 && v != 28);
        bytes memory nonsense = abi.encodePacked(r, s, v);
        _refusesSignature(direct, IKeyRegistry.Authorization(address(0), 1, START, nonsense));
        nonsense = abi.encodePacked(bytes32(0), s >> 1, uint8(27));
        _refusesSignature(direct, IKeyRegistry.Authorization(address(0), 1, START, nonsense));
    }

    // ------------------------------------------------------------------ a signature gives no other right

    /// @dev The wallet that signs is held to the same rules, whoever relays.
    function testFuzz_signedByOneWhoMayNot(uint256 key, address relay) public {
        key = bound(key, 1, SECP256K1_ORDER - 1);
        vm.assume(key != KEY);
        address who = vm.addr(key);
        bytes32[2] memory errors =
            [bytes32(IKeyRegistry.NotRecipient.selector), bytes32(IKeyRegistry.NotAlbumOwner.selector)];
        for (uint256 kind = 3; kind < KINDS; ++kind) {
            bytes memory direct = _direct(kind, "data");
            bytes memory signature = signed(key, digestOf(domain(), structOf(who, direct, 1, START)));
            refuses(
                relay,
                relayedCall(direct, IKeyRegistry.Authorization(who, 1, START, signature)),
                kind == 3
                    ? abi.encodeWithSelector(bytes4(errors[0]), id, who)
                    : abi.encodeWithSelector(bytes4(errors[1]), album, who)
            );
        }
        for (uint256 kind = 1; kind < 3; ++kind) {
            bytes memory direct = _direct(kind, "data");
            bytes memory signature = signed(key, digestOf(domain(), structOf(who, direct, 1, START)));
            refuses(
                relay,
                relayedCall(direct, IKeyRegistry.Authorization(who, 1, START, signature)),
                abi.encodeWithSelector(IKeyRegistry.NoSuchKey.selector, who, 1)
            );
        }
    }

    /// @dev A relay that fronts the call, or is the signer itself, changes nothing; a call that fails uses no nonce.
    function test_aFailedCallUsesNoNonce() public {
        bytes memory direct = _direct(3, "data");
        bytes memory data = relayedCall(direct, _authorization(direct, 3, type(uint256).max));
        vm.warp(EXPIRY);
        refuses(stranger, data, abi.encodeWithSelector(IKeyRegistry.GrantIsExpired.selector, id, EXPIRY));
        check(!registry.nonceUsed(signer, 3), "used");
        vm.warp(EXPIRY - 1);
        logsOf(signer, data);
    }
}

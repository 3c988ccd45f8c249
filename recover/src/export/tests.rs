//! Published vectors.

use super::*;

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

/// BIP-32, test vectors 1 and 2, chain m.
#[test]
fn bip_32() {
    let vectors = [
        (
            "e8f32e723decf4051aefac8e2c93c9c5b214313817cdb01a1494b917c8436b35",
            "873dff81c02f525623fd1fe5167eac3a55a049de3d314bb42ee227ffed37d508",
            "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
        ),
        (
            "4b03d6fc340455b363f51020ad3ecca4f0850280cf436c70c727923f6db46c3e",
            "60499f801b896d83179a4374aeb7822aaeaceaa0db1f85ee3e904c4defbd9689",
            "xprv9s21ZrQH143K31xYSDQpPDxsXRTUcvj2iNHm5NUtrGiGG5e2DtALGdso3pGz6ssrdK4PFmM8NSpSBHNqPqm55Qn3LqFtT2emdEXVYsCzC2U",
        ),
    ];
    for (secret, chain_code, expected) in vectors {
        assert_eq!(*xprv(&bytes(secret), &bytes(chain_code)), expected);
    }
}

/// The wallet import format's own page, with a compressed key.
#[test]
fn wallet_import_format() {
    let secret = bytes("0c28fca386c7a227600b2fe50b7cae11ec86d3bf1fbe471be89827e19d72aa1d");
    assert_eq!(*wif(&secret), "KwdMAjGmerYanjeui5SHS7JkmpZvVipYvB2LJGU1ZxJwYvP98617");
}

/// Both vectors of "Web3 Secret Storage Definition", from their derived keys on: their scrypt has an N beyond what RFC 7914 section 2
/// allows for its r, which the library refuses.
#[test]
fn web3_secret_storage() {
    let secret: [u8; 32] = bytes("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d");
    for (derived, iv, cipher_text, mac) in [
        (
            "fac192ceb5fd772906bea3e118a69e8bbb5cc24229e20d8766fd298291bba6bd",
            "83dbcc02d8ccb40e466191a123791e0e",
            "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
            "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
        ),
        (
            "f06d69cdc7da0faffb1008270bca38f5e31891a3a773950e6d0fea48a7188551",
            "6087dab2f9fdbbfaddc31a909735c1e6",
            "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
            "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
        ),
    ] {
        let (text, made) = keystore::encrypt(&bytes(derived), &bytes(iv), &secret).unwrap();
        assert_eq!((hex::encode(text), hex::encode(made)), (cipher_text.to_owned(), mac.to_owned()));
    }
}

/// The whole way: a vector with scrypt that go-ethereum and others test by, of a key of 31 bytes.
#[test]
fn web3_secret_storage_of_a_short_key() {
    let salt: [u8; 32] = bytes("711f816911c92d649fb4c84b047915679933555030b3552c1212609b38208c63");
    let secret = hex::decode("fa7b3db73dc7dfdf8c5fbdb796d741e4488628c41fc4febd9160a866ba0f35").unwrap();
    let derived = keystore::derive(b"foo", &salt, Cost::OF_THE_VECTOR).unwrap();
    let (text, mac) = keystore::encrypt(&derived, &bytes("e0c41130a323adc1446fc82f724bca2f"), &secret).unwrap();
    assert_eq!(hex::encode(text), "9517cd5bdbe69076f9bf5057248c6c050141e970efa36ce53692d5d59a3984");
    assert_eq!(hex::encode(mac), "d5e116151c6aa71470e67a7d42c9620c75c4d23229847dcc127794f0732b0db5");
}

#[test]
fn a_keystore_says_what_wallets_look_for() {
    let secret = bytes("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d");
    let public = k256::SecretKey::from_slice(&secret).unwrap().public_key().to_sec1_bytes();
    let randomness = KeystoreRandomness { salt: [1; 32], iv: [2; 16], id: bytes("3198bc9c66725ab3d9954942343ae5b6") };
    let made = keystore::make(&secret, &public, b"testpassword", Cost::LIGHT, &randomness).unwrap();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["address"], "008aeeda4d805471df9b2a5b0f38a0c3bcba786b");
    assert_eq!(made["id"], "3198bc9c-6672-4ab3-9995-4942343ae5b6");
    assert_eq!(made["version"], 3);
    assert_eq!(made["crypto"]["kdfparams"]["n"], 4096);
    assert_eq!(made["crypto"]["kdfparams"]["salt"], "01".repeat(32));
}

//! Calls in any order with any numbers: nothing is a defect, and nothing is written beyond what the program offers.

use limen_sim::Dice;

use super::*;

const CALLS: u32 = 100_000;
/// What every buffer is filled with before a call.
const UNTOUCHED: u8 = 0xa5;
const ROOM: usize = 256;

/// Numbers that have a meaning somewhere, near ones, and any.
fn number(dice: &mut Dice) -> CK_ULONG {
    const TELLING: [CK_ULONG; 14] = [
        0,
        1,
        2,
        5,
        6,
        CK_ULONG::MAX,
        CK_ULONG::MAX / 2,
        CKM_ECDSA,
        CKM_ECDSA_SHA256,
        CKM_EDDSA,
        CKF_SERIAL_SESSION,
        CKF_SERIAL_SESSION | CKF_RW_SESSION,
        CKU_CONTEXT_SPECIFIC,
        32,
    ];
    match dice.index(TELLING.len() + 1) {
        Some(at) if at < TELLING.len() => TELLING[at],
        _ => dice.throw(),
    }
}

/// Memory that the program offers: a part of a buffer, of which the rest must stay as it is, or nothing.
struct Offer {
    memory: [u64; ROOM / 8],
    bytes: usize,
    is_null: bool,
}

impl Offer {
    fn new(dice: &mut Dice) -> Self {
        let bytes = dice.index(ROOM / 2).unwrap();
        Self { memory: [u64::from_ne_bytes([UNTOUCHED; 8]); ROOM / 8], bytes, is_null: dice.chance(200) }
    }

    fn at<T>(&mut self) -> *mut T {
        if self.is_null { null_mut() } else { self.memory.as_mut_ptr().cast() }
    }

    /// How many `T` fit.
    fn count<T>(&self) -> CK_ULONG {
        (self.bytes / size_of::<T>()) as CK_ULONG
    }

    fn check(&self, what: u64) {
        let bytes = self.memory.iter().flat_map(|word| word.to_ne_bytes());
        assert!(bytes.skip(self.bytes).all(|byte| byte == UNTOUCHED), "call {what} wrote beyond {} bytes", self.bytes);
    }
}

#[test]
fn any_calls_in_any_order_are_answered_and_write_nothing_elsewhere() {
    let program = Program::start();
    let mut dice = Dice::new(11);
    let mut answers = std::collections::BTreeSet::new();
    for _ in 0..CALLS {
        let mut offer = Offer::new(&mut dice);
        // Most calls go to a session that there is.
        let session = if dice.chance(800) { program.session } else { number(&mut dice) };
        let kind = dice.below(16);
        let answer = one(kind, session, &mut offer, &mut dice);
        offer.check(kind);
        assert_ne!(answer, CKR_GENERAL_ERROR, "call {kind}");
        answers.insert(answer);
    }
    assert!(answers.len() > 15, "too little was tried: {answers:x?}");
    assert!(!program.fake.asked.lock().unwrap().is_empty(), "nothing was ever signed");
}

/// One call; `close` and `finalize` are left to others, so that there is something to call.
fn one(kind: u64, session: CK_SESSION_HANDLE, offer: &mut Offer, dice: &mut Dice) -> CK_RV {
    let mut data = [7u8; 64];
    let length = dice.below(40);
    let mut count = offer.count::<u8>();
    match kind {
        0 => call!(C_OpenSession(number(dice), number(dice), null_mut(), None, &mut count)),
        1 => call!(C_GetSessionInfo(
            session,
            if offer.bytes < size_of::<CK_SESSION_INFO>() { null_mut() } else { offer.at() }
        )),
        2 => call!(C_Login(session, number(dice), offer.at(), number(dice))),
        3 => call!(C_Logout(session)),
        4 => {
            let mut wanted = CK_ATTRIBUTE { type_: number(dice), pValue: data.as_mut_ptr().cast(), ulValueLen: length };
            call!(C_FindObjectsInit(session, &mut wanted, dice.below(2)))
        }
        5 => call!(C_FindObjects(session, offer.at(), offer.count::<CK_OBJECT_HANDLE>(), &mut count)),
        6 => call!(C_FindObjectsFinal(session)),
        7 => {
            let room = offer.count::<u8>();
            let mut asked = CK_ATTRIBUTE { type_: dice.below(0x210), pValue: offer.at(), ulValueLen: room };
            call!(C_GetAttributeValue(session, dice.below(8), &mut asked, 1))
        }
        8 | 9 => {
            let mut mechanism = CK_MECHANISM { mechanism: number(dice), pParameter: null_mut(), ulParameterLen: 0 };
            call!(C_SignInit(session, &mut mechanism, dice.below(8)))
        }
        10 | 11 => call!(C_Sign(session, data.as_mut_ptr(), length, offer.at(), &mut count)),
        12 => call!(C_SignUpdate(session, data.as_mut_ptr(), length)),
        13 => call!(C_SignFinal(session, offer.at(), &mut count)),
        14 => call!(C_GenerateRandom(session, offer.at(), count)),
        _ => {
            count = offer.count::<CK_MECHANISM_TYPE>();
            call!(C_GetMechanismList(number(dice), offer.at(), &mut count))
        }
    }
}

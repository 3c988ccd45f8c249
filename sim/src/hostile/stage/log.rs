//! The evidence log: the signers' own followers, and the adversary in the keeper's seat.

use std::collections::BTreeMap;

use limen_evidence::checkpoint::{Checkpoint, NoteSignature, SignedCheckpoint, View, cosigner_name};
use limen_evidence::leaf::Leaf;
use limen_evidence::merkle::{ConsistencyProof, Frontier, TreeHash, leaf_hash};
use limen_wire::ids::{ClusterId, NodeId};
use limen_wire::pb;
use prost::bytes::Bytes;

use super::Stage;
use crate::hostile::judge::Violation;
use crate::hostile::people;
use crate::hostile::program::{LogStep, Shown};

/// One of the keeper's logs.
#[derive(Debug, Clone, Default)]
struct Book {
    leaves: Vec<Bytes>,
    /// The newest checkpoint, and who has cosigned it.
    newest: Option<Noted>,
}

#[derive(Debug, Clone)]
struct Noted {
    size: usize,
    signatures: BTreeMap<u8, NoteSignature>,
}

/// What the keeper has.
#[derive(Debug)]
pub(super) struct Books(Vec<Book>);

impl Default for Books {
    fn default() -> Self {
        Self(vec![Book::default()])
    }
}

impl Book {
    fn root(&self, size: usize) -> TreeHash {
        let mut tree = Frontier::new();
        for leaf in self.leaves.iter().take(size) {
            tree.append(leaf_hash(leaf)).expect("room");
        }
        tree.root()
    }

    fn checkpoint(&self, size: usize) -> Checkpoint {
        let cluster = ClusterId::new("sim").expect("a name");
        Checkpoint::new(&cluster, size as u64, self.root(size)).expect("a checkpoint")
    }

    /// Everything that it has, for a node that may hold any of it.
    fn request(&self, checkpoint: &str, cosign: bool) -> pb::FollowRequest {
        pb::FollowRequest {
            size: self.leaves.len() as u64,
            start: 0,
            leaves: self.leaves.clone(),
            root: Bytes::copy_from_slice(self.root(self.leaves.len()).as_bytes()),
            checkpoint: Bytes::copy_from_slice(checkpoint.as_bytes()),
            cosign,
        }
    }
}

/// A cosignature under a node's name.
fn cosign(checkpoint: &Checkpoint, node: &NodeId, key: u8, at_secs: u64) -> NoteSignature {
    let cluster = ClusterId::new("sim").expect("a name");
    let everything = View::at(checkpoint);
    let nothing = ConsistencyProof::new(Vec::new()).expect("a proof");
    let consistent = everything.follow(checkpoint.size(), &nothing, checkpoint).expect("the same log");
    consistent.cosign(&cosigner_name(&cluster, node), people::machine_key(key), at_secs).expect("a cosignature")
}

impl Stage {
    fn node_name(&self, index: u8) -> NodeId {
        NodeId::new(self.plan.member_name(index)).expect("a name")
    }

    pub(super) fn at_the_log(&mut self, step: &LogStep) -> Result<(), Violation> {
        if !self.plan.log {
            return Ok(());
        }
        let books = &mut self.books.0;
        match step {
            LogStep::Fork(log) => {
                let mut book = books[log % books.len()].clone();
                book.leaves.pop();
                book.newest = None;
                books.push(book);
                self.count("log: forked");
                Ok(())
            }
            LogStep::Round { log, to, without, corrupt, shown } => {
                let log = log % books.len();
                for node in to.iter().filter(|node| without.as_ref() != Some(*node)) {
                    self.take_leaves(log, *node);
                }
                let before = self.books.0[log].newest.clone();
                self.take_cosignatures(log, to, *corrupt)?;
                let noted = if *shown == Shown::Old { before } else { self.books.0[log].newest.clone() };
                noted.into_iter().for_each(|noted| self.show_checkpoint(log, to, &noted, *shown));
                Ok(())
            }
        }
    }

    /// A node shows what no log has, once it holds this one.
    fn take_leaves(&mut self, log: usize, node: u8) {
        let request = self.books.0[log].request("", false);
        let Some(answer) = self.signer(node).and_then(|one| one.follow(request)) else { return };
        match answer {
            Ok(answer) => {
                let leaves = &mut self.books.0[log].leaves;
                let fresh: Vec<Bytes> = answer.pending.into_iter().filter(|leaf| !leaves.contains(leaf)).collect();
                leaves.extend(fresh);
            }
            Err(error) => self.refused(node, &error),
        }
    }

    fn take_cosignatures(&mut self, log: usize, to: &[u8], corrupt: bool) -> Result<(), Violation> {
        let (book, at_secs) = (self.books.0[log].clone(), self.now_secs());
        let (size, root) = (book.leaves.len(), *book.root(book.leaves.len()).as_bytes());
        let mut signatures = BTreeMap::new();
        for node in to {
            let Some(answer) = self.signer(*node).and_then(|one| one.follow(book.request("", true))) else { continue };
            let note = match answer {
                Ok(answer) => SignedCheckpoint::parse(&answer.cosigned),
                Err(error) => {
                    self.refused(*node, &error);
                    continue;
                }
            };
            if let Ok(note) = note {
                let tree = note.checkpoint();
                self.judge.cosigned(*node, tree.size(), *tree.root().as_bytes())?;
                let ours = (tree.size(), *tree.root().as_bytes()) == (size as u64, root);
                signatures.extend(note.signatures().first().filter(|_| ours).map(|one| (*node, one.clone())));
                self.count("log: cosigned");
            }
        }
        if size > 0 && corrupt {
            let checkpoint = book.checkpoint(size);
            for index in self.plan.honest() + 1..=self.plan.signers {
                signatures.insert(index, cosign(&checkpoint, &self.node_name(index), index, at_secs));
            }
        }
        if !signatures.is_empty() {
            self.books.0[log].newest = Some(Noted { size, signatures });
        }
        Ok(())
    }

    fn show_checkpoint(&mut self, log: usize, to: &[u8], noted: &Noted, shown: Shown) {
        let book = self.books.0[log].clone();
        let checkpoint = book.checkpoint(noted.size);
        let mut by: Vec<NoteSignature> = noted.signatures.values().cloned().collect();
        match shown {
            Shown::Nothing => return,
            Shown::Whole | Shown::Old => {}
            Shown::One => by = vec![by[0].clone(); usize::from(self.plan.required)],
            Shown::Forged => {
                let all = 1..=self.plan.signers;
                let at_secs = self.now_secs();
                by = all.map(|one| cosign(&checkpoint, &self.node_name(one), people::MACHINES, at_secs)).collect();
            }
        }
        let enough = match shown {
            Shown::Whole | Shown::Old => noted.signatures.len() >= usize::from(self.plan.required),
            Shown::One => self.plan.required == 1,
            Shown::Nothing | Shown::Forged => false,
        };
        let Ok(note) = SignedCheckpoint::new(checkpoint, by) else { return };
        for node in to {
            if enough {
                self.leaves_safe(*node, &book.leaves[..noted.size]);
            }
            let answer = self.signer(*node).and_then(|one| one.follow(book.request(&note.to_note(), false)));
            if let Some(Err(error)) = answer {
                self.refused(*node, &error);
            }
        }
    }

    /// A signer is shown that these leaves are where they belong.
    fn leaves_safe(&mut self, node: u8, leaves: &[Bytes]) {
        let name = self.node_name(node);
        for leaf in leaves {
            if let Ok(Leaf::Authorization(leaf)) = Leaf::decode(leaf)
                && leaf.unverified().node == name
            {
                let session = leaf.unverified().session;
                let number = session.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                self.judge.leaf_safe(node, usize::try_from(number).unwrap_or(usize::MAX));
                self.count("log: leaf safe");
            }
        }
    }
}

//! What is only a name: nonces, and which reader or updater is which.

use crate::protocol::{Fault, Protocol, Scenario};
use crate::state::{Incarnation, Keys, PLACES, Phase, World};

impl World {
    /// A nonce that is nowhere in the world.
    pub(crate) fn nonce(&self, protocol: &Protocol) -> Incarnation {
        if !protocol.fresh_nonces {
            return Incarnation::REUSED;
        }
        let (mut world, mut highest) = (*self, 0);
        world.each_incarnation(|incarnation| highest = highest.max(incarnation.0));
        Incarnation(highest + 1)
    }

    /// The same world with everything renamed that only names: worlds that differ in names alone have
    /// the same futures, and need to be looked at once.
    ///
    /// An incarnation can matter again only if a clock has it, a saved clock has it, or a call is about
    /// to be sent again with it; all others are one. Readers are alike, and so are updaters.
    pub(crate) fn canonical(mut self, scenario: &Scenario, protocol: &Protocol) -> Self {
        if self.faults_left == 0 || !scenario.may(Fault::RollBack) {
            self.saved = [Keys::default(); PLACES];
        }
        if !scenario.clocks_run_out {
            let clocks = self.places.iter_mut().chain(&mut self.saved).filter_map(|keys| keys.clock.as_mut());
            clocks.for_each(|clock| clock.kept = true);
        }
        if protocol.fresh_nonces {
            let clocks = self.places.iter().chain(&self.saved).filter_map(|keys| keys.clock);
            let resent = self.readers.iter().filter_map(|reader| match reader.phase {
                Phase::Resending { nonce, .. } => Some(nonce),
                _ => None,
            });
            let mut known: [Option<Incarnation>; 8] = [None; 8];
            for incarnation in clocks.map(|clock| clock.incarnation).chain(resent) {
                if !known.contains(&Some(incarnation)) {
                    let free = known.iter_mut().find(|slot| slot.is_none());
                    *free.expect("there are at most four clocks and three readers") = Some(incarnation);
                }
            }
            self.each_incarnation(|incarnation| {
                let name = known.iter().position(|&known| known == Some(*incarnation));
                *incarnation = name.map_or(Incarnation::GONE, |name| {
                    Incarnation(u8::try_from(name + 1).expect("there are eight names"))
                });
            });
        }
        self.readers.sort_unstable();
        self.updates.sort_unstable();
        self
    }

    fn each_incarnation(&mut self, mut visit: impl FnMut(&mut Incarnation)) {
        for keys in self.places.iter_mut().chain(&mut self.saved) {
            if let Some(clock) = &mut keys.clock {
                visit(&mut clock.incarnation);
            }
            if let Some(entry) = &mut keys.entry {
                visit(&mut entry.read_version.incarnation);
            }
        }
        for reader in &mut self.readers {
            match &mut reader.phase {
                Phase::Resending { nonce, .. } => visit(nonce),
                Phase::Missed { read_version, .. } | Phase::Made { read_version, .. } => {
                    if let Some(read_version) = read_version {
                        visit(&mut read_version.incarnation);
                    }
                }
                Phase::Idle | Phase::Following { .. } | Phase::Completing { .. } => {}
            }
            if let Some(entry) = &mut reader.kept {
                visit(&mut entry.read_version.incarnation);
            }
        }
    }
}

//! Which of several addresses a request goes to: the one with the fewest requests under way.
//!
//! Pure, and its own file, because chance is passed in too.

/// Up to this many are all looked at; of more, two by chance, which is nearly as even and costs the same for any number.
const LOOK_AT_ALL: usize = 4;

/// The place of the least loaded of `count`; `avoid` only if there is no other. Equals are taken by chance, so that
/// several proxies do not all go to the first. `None` only where `count` is 0.
pub fn least(
    count: usize,
    load: impl Fn(usize) -> usize,
    avoid: Option<usize>,
    dice: u32,
) -> Option<usize> {
    match count {
        0 => return None,
        1 => return Some(0),
        _ => {}
    }
    let (high, low) = ((dice >> 16) as usize, (dice & 0xffff) as usize);
    let avoided = |place: usize| (avoid == Some(place), load(place));
    if count <= LOOK_AT_ALL {
        let from = low % count;
        let turned = (0..count).map(|step| (from + step) % count);
        return turned.min_by_key(|place| avoided(*place));
    }
    let one = low % count;
    // Never the same twice.
    let other = (one + 1 + high % (count - 1)) % count;
    let chosen = [one, other]
        .into_iter()
        .min_by_key(|place| avoided(*place))?;
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_chosen_of_nothing() {
        assert_eq!(least(0, |_| 0, None, 0), None);
    }

    #[test]
    fn of_few_the_least_loaded_is_chosen() {
        for dice in 0..1000 {
            assert_eq!(least(3, |place| [5, 2, 7][place], None, dice), Some(1));
        }
    }

    #[test]
    fn equals_are_all_chosen() {
        let mut seen = [false; 4];
        for dice in 0..100 {
            seen[least(4, |_| 0, None, dice).expect("one")] = true;
        }
        assert_eq!(seen, [true; 4]);
    }

    #[test]
    fn of_many_the_load_stays_even() {
        let mut load = [0usize; 50];
        let mut dice = 1u32;
        for _ in 0..50_000 {
            // An LCG of Numerical Recipes; its high bits are good enough here.
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let place = least(
                50,
                |place| load[place],
                None,
                dice.rotate_left(16) ^ dice >> 3,
            );
            load[place.expect("one")] += 1;
        }
        let (least, most) = (load.iter().min(), load.iter().max());
        assert!(
            most.zip(least)
                .is_some_and(|(most, least)| most - least < 30),
            "{load:?}"
        );
    }

    proptest! {
        #[test]
        fn what_just_failed_is_avoided(count in 2usize..40, avoid in 0usize..40, dice: u32) {
            prop_assume!(avoid < count);
            prop_assert_ne!(least(count, |_| 3, Some(avoid), dice), Some(avoid));
        }

        #[test]
        fn what_is_chosen_exists(count in 1usize..40, dice: u32) {
            prop_assert!(least(count, |place| place, None, dice).is_some_and(|place| place < count));
        }
    }
}
